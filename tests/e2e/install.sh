# Walks docs/install.md: runs the commands of the page as they stand, with other folders and ports, and without what belongs
# to the machine: its packages, users, owners and systemd. Instead of systemd it starts what the units say.
#
#   ROOT      the folder in the place of /
#   PROGRAM   the program in the place of the one that cargo would build
#   HOST_PORT the address of Postgres
#   PORTS     four beginnings of ports: of the clients of NATS, of its routes, of the nodes, and of their admin listeners
# shellcheck shell=bash
set -eu

read -r clients routes nodes admins <<<"$PORTS"
mkdir -p "$ROOT"/etc/systemd/system "$ROOT"/bin "$ROOT"/root "$ROOT"/var/lib/nats
export PATH=$ROOT/bin:$PATH
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT

apt-get() { :; }
cargo() { :; }
useradd() { :; }
chown() { :; }
# Whoever runs this script has the superuser of Postgres.
su() {
    cat >"$ROOT/sql.new"
    mv "$ROOT/sql.new" "$ROOT/sql"
    until [ -e "$ROOT/sql.done" ]; do sleep 0.05; done
}
systemctl() {
    [ "$1" = enable ] || return 0
    shift 2
    local name unit number
    for name; do
        unit=$ROOT/etc/systemd/system/${name%@*}@.service number=${name#*@}
        (
            umask 077
            set -a
            while read -r variables; do
                variables=${variables//%i/$number}
                # shellcheck disable=SC1090 # The page has made it.
                . "${variables#-}"
            done < <(sed -n 's/^EnvironmentFile=//p' "$unit")
            set +a
            read -ra start < <(sed -n 's/^ExecStart=//p' "$unit")
            # It ends with this shell, however that ends.
            exec setpriv --pdeathsig KILL "${start[@]}" >"$ROOT/$name.log" 2>&1
        ) &
    done
}

place() {
    sed "s#/etc/#@etc/#g; s#/var/lib/#@var/lib/#g; s#/usr/local/bin/#@bin/#g; s#/root/#@root/#g; s#@\(etc\|var\|bin\|root\)/#$ROOT/\1/#g"
}
cp() {
    command cp "$@"
    # A unit that is installed has the places of this walk.
    local last=${*: -1}
    case $last in
    *.service) place <"$last" >"$last.new" && mv "$last.new" "$last" ;;
    esac
}
# shellcheck disable=SC2016 # These are the fences of the page.
blocks=$(sed -n '/^```sh$/,/^```$/p' docs/install.md | grep -v '^```')
page=$(place <<<"$blocks" | sed "s#target/dist/verbatim#$PROGRAM#
    s#127.0.0.1:422#127.0.0.1:$clients#g; s#127.0.0.1:622#127.0.0.1:$routes#g; s#:844#:$nodes#g; s#127.0.0.1:808#127.0.0.1:$admins#g
    s#127.0.0.1:5432/verbatim#$HOST_PORT/installed#; s#//verbatim:#//installed:#; s#role verbatim#role installed#
    s#database verbatim owner verbatim#database installed owner installed#")
eval "$page"
