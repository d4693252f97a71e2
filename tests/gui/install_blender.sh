#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Blender with a window system in a Debian of its own, for machines that have neither: 4.3 is that of trixie, 5.2 that of sid.
#
#     tests/gui/install_blender.sh 4.3 [FOLDER]       FOLDER: .blender/4.3 in the repository; 1.7 GB, four minutes
#
# Needs root on a Debian; packages come from the mirror that this machine's apt uses.  Does nothing if it is there already.
# tests/gui/in_debian.sh FOLDER COMMAND runs a command inside.
set -euo pipefail

cannot() {
    echo "Blender $version cannot be installed here: $1. Set BLENDER=/path/to/blender to test with one of your own." >&2
    exit 1
}

version=${1:?which Blender: 4.3 or 5.2}
here=$(cd "$(dirname "$0")" && pwd)
folder=${2:-$here/../../.blender/$version}
case $version in
    4.3) suite=trixie ;;
    5.2) suite=sid ;;
    *) cannot "there is 4.3 and 5.2" ;;
esac
packages=(blender xvfb xdotool imagemagick libgl1-mesa-dri libegl1 python3-numpy)
packages+=(python3-cattr python3-requests python3-zstandard python3-jsonschema) # what Blender 5 imports, not all of it declared

[ -e "$folder/installed" ] && exit 0
[ "$(id -u)" -eq 0 ] || cannot "this needs root"
command -v apt-get > /dev/null || cannot "this is no Debian"
command -v debootstrap > /dev/null || apt-get install --quiet --yes --no-install-recommends debootstrap ||
    { apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends debootstrap; } || cannot "debootstrap is missing"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1)
[ -n "$mirror" ] || cannot "apt knows no mirror of Debian (apt-get update?)"

rm -rf "$folder"
mkdir -p "$folder"
debootstrap --variant=minbase "$suite" "$folder" "$mirror" || cannot "debootstrap failed"
cp --dereference /etc/resolv.conf /etc/hosts "$folder/etc/"
cp /etc/apt/apt.conf.d/* "$folder/etc/apt/apt.conf.d/"
mkdir -p "$folder/etc/ssl/certs"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
"$here/in_debian.sh" "$folder" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet --yes --no-install-recommends "${packages[@]}" < /dev/null || cannot "its packages could not be installed"
rm -rf "$folder"/var/cache/apt/archives/*.deb
touch "$folder/installed"
