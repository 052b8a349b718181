#!/bin/sh
# Asks a node in dev mode what its OpenAPI document says that it may be asked, and much that it says may not be asked.
# The seed is fixed and the time bounded. Rate limits are off: behind 429 there would be nothing to see.
#
# The check that every request of the documented shape is accepted is left out: a cursor has to be one that was given,
# `before` and `after` exclude each other, and a user has to exist, which no schema says. Operations that end the login
# with which the others are asked are left out too.
#
# The node is the binary that VERBATIM_BIN names; without it, cargo builds one.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
root=$(cd "$here/../.." && pwd -P)
digest=$(cksum <"$here/schemathesis.txt" | tr ' ' -)
tools=$root/.tools/schemathesis/$digest
if [ ! -d "$tools" ]; then
    mkdir -p "$root/.tools/schemathesis"
    new=$(mktemp -d "$root/.tools/schemathesis/install.XXXXXX")
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --only-binary=:all: --require-hashes --target "$new" -r "$here/schemathesis.txt"
    mv "$new" "$tools"
fi

if [ -z "${VERBATIM_BIN:-}" ]; then
    (cd "$root" && cargo build --locked --quiet --bin verbatim)
    VERBATIM_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/verbatim
fi
work=$(mktemp -d)
# It is read before the server in the background has opened it.
touch "$work/out"
off() { for policy in "$@"; do printf 'VERBATIM_LIMIT_%s=off ' "$policy"; done; }
# shellcheck disable=SC2046
env $(off ADDRESS USER SEND CONVERSATION START MEMBERS SEARCH CONNECT CONNECT_ADDRESS FRAMES PRESENCE) \
    VERBATIM_DATA_DIR="$work/data" VERBATIM_LISTEN=127.0.0.1:0 VERBATIM_ADMIN_LISTEN=127.0.0.1:0 \
    "$VERBATIM_BIN" dev >"$work/out" 2>"$work/log" &
node=$!
trap 'kill $node 2>/dev/null || true; wait $node || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

api=
for _ in $(seq 240); do
    api=$(sed -n 's#^ *OpenAPI *\(http://.*\)/openapi.json$#\1#p' "$work/out")
    if [ -n "$api" ] || ! kill -0 $node 2>/dev/null; then break; fi
    sleep 0.5
done
if [ -z "$api" ]; then
    echo "dev mode did not start:" >&2
    cat "$work/log" >&2
    exit 1
fi

say() { curl --silent --show-error --fail --header 'content-type: application/json' "$@"; }
person='{"username":"schemata","password":"correct horse battery"}'
say "$api/v1/accounts" --data "$person" >/dev/null
token=$(say "$api/v1/logins" --data "$person" | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')

cd "$work"
PYTHONPATH=$tools PYTHONDONTWRITEBYTECODE=1 python3 -m schemathesis.cli --config-file "$here/schemathesis.toml" run "$root/openapi/openapi.json" \
    --url "$api" --header "Authorization: Bearer $token" --seed 20261128 --max-time 60 --max-examples 10 \
    --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance --exclude-operation-id log_out \
    --exclude-operation-id change_password --generation-database none --request-timeout 20 --warnings off --no-color
