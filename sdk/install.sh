#!/bin/sh
# Installs the development tools of a package of this folder from npm, pinned by digest, into .tools/, and links its
# node_modules/ to them. Prints one line on stdout: the absolute path of the Node.js to use.
set -eu

here=$(cd "$1" && pwd -P)
root=$(cd "$(dirname "$0")/.." && pwd -P)
# The tests of Rust find a Node.js in the same way.
node=$("$root/tests/clients/install.sh" | sed -n 's/^node=//p')
npm=$(dirname "$node")/npm
[ -x "$npm" ] || npm=$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js
PATH=$(dirname "$node"):$PATH
export PATH

tools=$root/.tools/sdk/$(cat "$here/package-lock.json" "$here/package.json" | cksum | tr ' ' -)
if [ ! -d "$tools" ]; then
    mkdir -p "$root/.tools/sdk"
    work=$(mktemp -d "$root/.tools/sdk/install.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$here/package.json" "$here/package-lock.json" "$work"
    (cd "$work" && "$node" "$npm" ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null)
    # Two may run at once; the slower one keeps what the faster one has installed.
    [ -d "$tools" ] || mv "$work" "$tools"
fi
# Modules are looked up from the folder of the package.
rm -rf "$here/node_modules"
ln -s "$tools/node_modules" "$here/node_modules"
echo "$node"
