#!/bin/sh
# Checks that the generated files match the document, checks the types, and runs the tests against the server binary
# that VERBATIM_BIN names. The packages that the tests need are installed from PyPI into .tools/, pinned by digest.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
root=$(cd "$here/../.." && pwd -P)
: "${VERBATIM_BIN:=$root/target/debug/verbatim}"
export VERBATIM_BIN
[ -x "$VERBATIM_BIN" ] || { echo "sdk: there is no $VERBATIM_BIN; set VERBATIM_BIN to the binary of the server." >&2; exit 1; }

python=
for one in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$one && break; fi
done
[ -n "$python" ] || { echo "sdk: the client for Python needs Python 3.11, and there is none here: not tried"; exit 0; }

tools=$root/.tools/python/$(cksum <"$here/tests/requirements.txt" | tr ' ' -)
if [ ! -d "$tools" ]; then
    mkdir -p "$root/.tools/python"
    new=$(mktemp -d "$root/.tools/python/install.XXXXXX")
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --only-binary=:all: --require-hashes --target "$new" -r "$here/tests/requirements.txt"
    mv "$new" "$tools"
fi
cd "$here"
cmp "$root/LICENSE" LICENSE
PYTHONPATH=$tools
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1
"$python" generate.py --check
"$python" -m mypy --cache-dir "$tools/.mypy"
exec "$python" -m unittest discover --verbose --top-level-directory . tests
