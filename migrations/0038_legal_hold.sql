-- Legal holds: what they name is hidden when it is erased, as everything else, and not deleted until they are lifted. A lifted
-- hold stays as a record of who had placed and lifted it.
create table auth.hold (
    id            uuid primary key,
    name          text not null,
    -- A hold names users or conversations.
    users         uuid[] not null,
    conversations uuid[] not null,
    -- The times of the held messages: from the first, and before the second.
    begins_at     timestamptz,
    ends_at       timestamptz,
    placed_at     timestamptz not null,
    placed_by     uuid,
    lifted_at     timestamptz,
    lifted_by     uuid,
    check ((users = '{}') <> (conversations = '{}'))
);
create index hold_active on auth.hold (id) where lifted_at is null;

-- The holds that keep all that is left of an erasure. The eraser passes such an erasure over.
alter table auth.erasure add column held_by uuid[] not null default '{}';

-- The deletions that the eraser asks of nats-server and of which it is not settled what became of them. A row is stored behind a lock
-- that keeps holds from being placed, and before the deletion is asked. So whoever has placed a hold sees here what may still go.
create table auth.deletion (
    stream   integer not null,
    position bigint not null,
    asked_at timestamptz not null default now(),
    primary key (stream, position)
);

-- Who an erased account was, until its erasure is done: a hold keeps that, too.
create table auth.held_account (
    account_id uuid primary key,
    kept       jsonb not null
);
