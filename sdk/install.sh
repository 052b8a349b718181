#!/bin/sh
# Installs the development tools of a package in this folder from npm into .tools/, pinned by digest, and links the
# node_modules/ of the package to them. Prints one line on stdout: the absolute path of the Node.js to use.
set -eu

here=$(cd "$1" && pwd -P)
root=$(cd "$(dirname "$0")/.." && pwd -P)
node=$("$root/tests/clients/install.sh" | sed -n 's/^node=//p')

tools=$root/.tools/sdk/$(cat "$here/package-lock.json" "$here/package.json" | cksum | tr ' ' -)
if [ ! -d "$tools" ]; then
    mkdir -p "$root/.tools/sdk"
    work=$(mktemp -d "$root/.tools/sdk/install.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$here/package.json" "$here/package-lock.json" "$work"
    (cd "$work" && "$root/sdk/npm.sh" ci --ignore-scripts --no-audit --no-fund >/dev/null)
    # Two runs at once are safe: the slower one uses what the faster one has installed.
    [ -d "$tools" ] || mv "$work" "$tools"
fi
# Node.js looks modules up from the folder of the package.
rm -rf "$here/node_modules"
ln -s "$tools/node_modules" "$here/node_modules"
echo "$node"
