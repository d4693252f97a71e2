#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command inside a Debian that install_blender.sh made; the repository and /tmp are at their usual paths there.
#
#     tests/gui/in_debian.sh .blender/4.3 blender --version
set -euo pipefail
folder=$(cd "$1" && pwd)
repository=$(cd "$(dirname "$0")/../.." && pwd)
shift

# The mounts are this process's own and go away with it.
if [ -z "${IN_OWN_MOUNTS:-}" ]; then
    IN_OWN_MOUNTS=1 exec unshare --mount "$0" "$folder" "$@"
fi
unset IN_OWN_MOUNTS
for path in /proc /sys /dev /tmp "$repository"; do
    mkdir -p "$folder$path"
    mount --rbind "$path" "$folder$path"
done
exec chroot "$folder" /usr/bin/env PWD=/ LC_ALL=C.UTF-8 HOME="${HOME:-/root}" "$@"
