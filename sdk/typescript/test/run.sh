#!/bin/sh
# Builds the client, checks that the generated files are those of the documents, checks the size and the package, and runs the
# tests against the server that VERBATIM_BIN names. The development tools come from npm, pinned by digest, into .tools/.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
root=$(cd "$here/../.." && pwd -P)
: "${VERBATIM_BIN:=$root/target/debug/verbatim}"
export VERBATIM_BIN
[ -x "$VERBATIM_BIN" ] || { echo "sdk: there is no $VERBATIM_BIN; set VERBATIM_BIN to the binary of the server." >&2; exit 1; }

node=$("$root/sdk/install.sh" "$here")
cd "$here"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r src/generated "$work"
"$node" scripts/generate.mjs
if ! diff -r "$work/generated" src/generated >/dev/null; then
    echo "sdk: src/generated was not that of the documents. It is now: commit it." >&2
    exit 1
fi
rm -rf dist
"$node" node_modules/typescript/bin/tsc --project .
"$node" node_modules/typescript/bin/tsc --project test/types
"$node" scripts/size.mjs
# What others import from the package has its types. It has ES modules only, which Node loads by `require` since 20.19, too.
"$root/sdk/npm.sh" pack --silent --pack-destination "$work" >/dev/null
"$node" node_modules/@arethetypeswrong/cli/dist/index.js "$work"/*.tgz --profile esm-only --format ascii >"$work/types" ||
    { cat "$work/types" >&2; exit 1; }
rm -rf "$work"

# Node 20 has WebSocket behind an option, Node 22 without.
case $("$node" --version) in v20.* | v21.*) websocket=--experimental-websocket ;; *) websocket= ;; esac
# shellcheck disable=SC2086 # No option is no argument.
exec "$node" $websocket --no-warnings --test --test-concurrency=4 test/*.test.mjs
