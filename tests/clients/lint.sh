#!/bin/sh
# Checks the two published documents with programs of other people, and fails at the first error or warning:
# Redocly and Spectral lint both, and the types that openapi-typescript makes must compile in events.ts.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
openapi=$here/../../openapi
installed=$("$here/install.sh")
node=$(printf '%s\n' "$installed" | sed -n 's/^node=//p')
modules=$(printf '%s\n' "$installed" | sed -n 's/^packages=//p')/node_modules

# Redocly reports its use to its makers unless it is told not to.
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
"$node" "$modules/@redocly/cli/bin/cli.js" lint --config "$here/redocly.yaml" \
    "$openapi/openapi.json" "$openapi/asyncapi.yaml"

"$node" "$modules/@stoplight/spectral-cli/dist/index.js" lint --ruleset "$here/spectral.yaml" \
    --fail-severity hint "$openapi/openapi.json" "$openapi/asyncapi.yaml"

# The compiler finds the types beside the program that uses them.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/events.ts" "$work"
"$node" "$modules/openapi-typescript/bin/cli.js" "$openapi/openapi.json" --output "$work/api.d.ts"
"$node" "$modules/typescript/bin/tsc" --noEmit --strict "$work/events.ts"
