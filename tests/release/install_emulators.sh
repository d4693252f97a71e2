#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What runs programs of other machines for tests/release/kernels.py, on a Debian or Ubuntu and as root: qemu-user, musl, the C
# library of arm64, and that of musl on arm64, which no package for this machine holds, in build/musl-aarch64.
# What cannot be installed is named, and its tests are skipped.
#
#     tests/release/install_emulators.sh wine64        Windows, too
set -euo pipefail
cd "$(dirname "$0")/../.."

packages=(qemu-user musl libc6-arm64-cross "$@")
folder=build/musl-aarch64

if ! command -v apt-get > /dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "Kernels for other machines need ${packages[*]}, and root on Debian for musl of arm64; what is missing is left out." >&2
    exit 0
fi

dpkg-query --show "${packages[@]}" > /dev/null 2>&1 ||
    { apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${packages[@]}"; } ||
    echo "not all of ${packages[*]} could be installed" >&2

if [ ! -e "$folder/installed" ]; then
    # An apt of its own, so that this machine's stays without arm64.
    mkdir -p "$folder"/apt/{lists/partial,archives/partial}
    : > "$folder/apt/status"
    apt=(apt-get --quiet -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root)
    apt+=(-o "Dir::State=$PWD/$folder/apt" -o "Dir::State::status=$PWD/$folder/apt/status" -o "Dir::Cache=$PWD/$folder/apt")
    if "${apt[@]}" update && (cd "$folder" && "${apt[@]}" download musl) && dpkg-deb --extract "$folder"/musl_*_arm64.deb "$folder"; then
        touch "$folder/installed"
    else
        echo "musl of arm64 could not be had from this machine's mirror" >&2
    fi
    rm -rf "$folder/apt"
fi
