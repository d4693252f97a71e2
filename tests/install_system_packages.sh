#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# System libraries that the test packages load: EGL with a software driver (pyrender) and X11 (Blender as a module).
# Installs what is missing when it can (root on Debian or Ubuntu), else says what to install.
set -euo pipefail

packages=(libegl1 libgl1 libgl1-mesa-dri libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libxxf86vm1)

if ! command -v dpkg-query > /dev/null; then
    echo "This is no Debian: tests of pyrender need EGL, tests of Blender need X11 libraries, if they are missing." >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
done

if [ ${#missing[@]} -eq 0 ]; then
    exit 0
elif [ "$(id -u)" -eq 0 ]; then
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
else
    echo "Some tests need system packages that are missing: sudo apt-get install ${missing[*]}" >&2
fi
