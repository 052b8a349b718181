#!/bin/sh
# Builds the client, checks that the generated files are those of the documents, checks the size, and runs the tests
# against the server that VERBATIM_BIN names. The development tools come from npm, pinned by digest, into .tools/.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
root=$(cd "$here/../.." && pwd -P)
: "${VERBATIM_BIN:=$root/target/debug/verbatim}"
export VERBATIM_BIN
[ -x "$VERBATIM_BIN" ] || { echo "sdk: there is no $VERBATIM_BIN; set VERBATIM_BIN to the binary of the server." >&2; exit 1; }

node=$("$root/sdk/install.sh" "$here")
cd "$here"

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp src/generated/* "$before"
"$node" scripts/generate.mjs
if ! diff -r "$before" src/generated >/dev/null; then
    echo "sdk: src/generated was not that of the documents. It is now: commit it." >&2
    exit 1
fi
rm -rf "$before" dist
"$node" node_modules/typescript/bin/tsc --project .
"$node" node_modules/typescript/bin/tsc --project test/types
"$node" scripts/size.mjs

# Node 20 has WebSocket behind an option, Node 22 without.
case $("$node" --version) in v20.* | v21.*) websocket=--experimental-websocket ;; *) websocket= ;; esac
# shellcheck disable=SC2086 # No option is no argument.
exec "$node" $websocket --no-warnings --test --test-concurrency=4 test/*.test.mjs
