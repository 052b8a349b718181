#!/bin/sh
# Builds the client, checks that the generated files match the documents, checks the size and the package, and runs the
# tests against the server binary that VERBATIM_BIN names. The development tools are installed from npm into .tools/,
# pinned by digest.
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
# Everything that the package exports must have types. The package has only ES modules, which Node can also load with
# `require` since 20.19.
"$root/sdk/npm.sh" pack --silent --pack-destination "$work" >/dev/null
"$node" node_modules/@arethetypeswrong/cli/dist/index.js "$work"/*.tgz --profile esm-only --format ascii >"$work/types" ||
    { cat "$work/types" >&2; exit 1; }
tar -xzOf "$work"/*.tgz package/LICENSE | cmp - "$root/LICENSE"
rm -rf "$work"

# Node 20 has WebSocket only with an option; Node 22 has it by default.
case $("$node" --version) in v20.* | v21.*) websocket=--experimental-websocket ;; *) websocket= ;; esac
# shellcheck disable=SC2086 # No option is no argument.
exec "$node" $websocket --no-warnings --test --test-concurrency=4 test/*.test.mjs
