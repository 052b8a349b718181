#!/bin/sh
# Makes the keys and passwords of production.yaml, once, in the folder `secrets` beside this file. It replaces nothing.
#
# The folder belongs to who runs this, and nobody else may enter it. The files in it that containers get are readable for
# all, because a container reads them as its own user; the keys of the accounts stay 0600, and no container gets them.
#
# It needs `verbatim` on the PATH, or Docker with the image verbatim:0.1.0.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd -P)
secrets=$here/secrets

if [ -e "$secrets" ]; then
    echo "$secrets is there already, and nothing in it is replaced. Move it away to begin anew." >&2
    exit 1
fi

# A letter first: nats-server would read digits as a number.
password() { printf 'v%s' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; }

mkdir "$secrets"
# What is not complete is of no use, and would be in the way of the next try.
trap 'rm -rf "$secrets"' EXIT
if command -v verbatim >/dev/null; then
    verbatim nats init --out "$secrets/nats" >/dev/null
else
    docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
        --user "$(id -u):$(id -g)" --volume "$secrets:/secrets" verbatim:0.1.0 nats init --out /secrets/nats >/dev/null
fi

routes=$(password)
route() { printf '"nats-route://node:%s@%s:6222"' "$routes" "$1"; }
cat >"$secrets/cluster-secret" <<VARIABLES
VERBATIM_NATS_CLUSTER_PASSWORD=$routes
VERBATIM_NATS_ROUTES='[$(route log-0), $(route log-1), $(route log-2)]'
VARIABLES
database=$(password)
printf '%s' "$database" >"$secrets/database-password"
printf 'postgres://verbatim:%s@postgres:5432/verbatim' "$database" >"$secrets/database-url"

chmod 0444 "$secrets"/cluster-secret "$secrets"/database-* "$secrets"/nats/accounts.conf \
    "$secrets"/nats/verbatim.creds "$secrets"/nats/operator.creds "$secrets"/nats/eraser.creds
trap - EXIT
echo "The keys and passwords are in $secrets."
echo "Move operator.nk, sys.nk, chat.nk and readers.nk of its folder nats to a safe place that is not on the network."
