#!/bin/sh
# Checks the types of the pages, checks that the committed pages match their sources, and tests both in Chromium against
# the server binary that VERBATIM_BIN names. PICTURES is a folder for the screenshots of the tests. PAGES is a folder
# whose scripts and styles are tested instead of those embedded in the server. With the folder src/web, a change of a
# page can be tested without compiling the server.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
root=$(cd "$here/../.." && pwd -P)
: "${VERBATIM_BIN:=$root/target/debug/verbatim}"
export VERBATIM_BIN

node=$("$root/sdk/install.sh" "$here")
cd "$here"
"$node" node_modules/typescript/bin/tsc --project .
"$node" build.mjs --check

CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$CHROMIUM" ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } >&2 || true
    CHROMIUM=$(command -v chromium || true)
fi
if [ -z "$CHROMIUM" ]; then
    echo "pages: there is no Chromium, and no way to install it here: the pages are built, and not tried"
    exit 0
fi
export CHROMIUM
[ -x "$VERBATIM_BIN" ] || { echo "pages: there is no $VERBATIM_BIN; set VERBATIM_BIN to the binary of the server." >&2; exit 1; }
exec "$node" --no-warnings --test --test-timeout=300000 --test-concurrency=3 test/*.test.mjs
