#!/bin/sh
# Runs npm with the Node.js that the tests use.
set -eu

# The Rust tests find Node.js in the same way.
node=$("$(dirname "$0")/../tests/clients/install.sh" | sed -n 's/^node=//p')
npm=$(dirname "$node")/npm
[ -x "$npm" ] || npm=$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js
PATH=$(dirname "$node"):$PATH
export PATH
exec "$node" "$npm" --no-update-notifier --loglevel=error "$@"
