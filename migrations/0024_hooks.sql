-- Webhooks: to whom events are sent, and how far that has come. The log is the queue, so nothing here has a row for each
-- event while all goes well, except the delivery log, which is bounded.
create schema if not exists hooks;

create table if not exists hooks.endpoint (
    id              uuid primary key,
    url             text not null,
    -- Which events are sent: types by their words, `*` for all; an empty list of the others means all.
    types           text[] collate "C" not null,
    lanes           text[] collate "C" not null,
    conversations   uuid[] not null,
    services        uuid[] not null,
    is_ordered      boolean not null,
    is_thin         boolean not null,
    concurrency     smallint not null check (concurrency between 1 and 64),
    signature       text collate "C" not null check (signature in ('v1', 'v1a')),
    description     text not null,
    -- Sealed by the master key (AES-256-GCM): signing needs the secrets, and headers may hold tokens of the receiver.
    secret          bytea not null,
    old_secret      bytea,
    old_until       timestamptz,
    headers         bytea not null,
    header_names    text[] not null,
    created_at      timestamptz not null,
    disabled_at     timestamptz,
    disabled_reason text collate "C",
    -- Since when no attempt has succeeded, and how many have failed since.
    failing_since   timestamptz,
    failures        integer not null default 0,
    -- Rises with each node that takes the endpoint over. What an earlier node writes afterwards is refused.
    fence           bigint not null default 0,
    -- Rises with each change that the owner of the endpoint has to know.
    version         bigint not null default 0
);

-- Replays of an endpoint that are under way.
create table if not exists hooks.replay (
    id         uuid primary key,
    endpoint   uuid not null references hooks.endpoint (id) on delete cascade,
    created_at timestamptz not null
);
create index if not exists replay_endpoint on hooks.replay (endpoint);

-- How far each stream was read: all events up to the position were taken, parked or stand in `held`. `run` is the replay;
-- the nil id is the ordinary delivery. A replay ends at `until`.
create table if not exists hooks.cursor (
    endpoint uuid    not null references hooks.endpoint (id) on delete cascade,
    run      uuid    not null,
    stream   integer not null,
    position bigint  not null,
    until    bigint,
    primary key (endpoint, run, stream)
);

-- The conversations whose next event is behind the cursor: an attempt has failed, or they are slower than others. `only_at` is
-- the one event that is wanted, 0 for all from `from_position` on (up to `until` in a replay).
create table if not exists hooks.held (
    endpoint      uuid    not null references hooks.endpoint (id) on delete cascade,
    run           uuid    not null,
    conversation  uuid    not null,
    only_at       bigint  not null,
    from_position bigint  not null,
    until         bigint,
    attempt       integer not null,
    parked        integer not null,
    next_at       timestamptz not null,
    primary key (endpoint, run, conversation, only_at)
);

-- The delivery log: failures and parked events, and the latest successes.
create table if not exists hooks.delivery (
    id           bigint generated always as identity primary key,
    endpoint     uuid    not null references hooks.endpoint (id) on delete cascade,
    event        uuid    not null,
    conversation uuid    not null,
    position     bigint  not null,
    replay       uuid,
    attempt      integer not null,
    at           timestamptz not null,
    took_ms      integer not null,
    status       smallint,
    error        text,
    response     text    not null,
    state        text    collate "C" not null check (state in ('ok', 'failed', 'parked'))
);
create index if not exists delivery_state on hooks.delivery (endpoint, state, id desc);
create index if not exists delivery_endpoint on hooks.delivery (endpoint, id desc);
