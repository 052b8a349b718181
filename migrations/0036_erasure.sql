-- Requests for erasure, and how far each has come. A row has ids, positions and times, and never a text: what is erased stands in
-- the log, as events `content.erased`.
create table auth.erasure (
    id            uuid primary key,
    reason        text not null,
    actor         uuid not null,
    requested_at  timestamptz not null,
    starts_at     timestamptz not null,
    messages      integer not null default 0,
    edits         integer not null default 0,
    -- When the log said of everything that it is erased.
    hidden_at     timestamptz,
    -- When the views had followed, and no edit was found any more that had come in between.
    views_done_at timestamptz,
    -- When the log had nothing at the positions any more.
    log_done_at   timestamptz,
    -- When every position was read again, and found empty.
    done_at       timestamptz,
    -- Until then a node works on the request.
    claimed_until timestamptz
);
create index erasure_open on auth.erasure (starts_at) where done_at is null;

-- The messages of a request, by conversation.
create table auth.erasure_conversation (
    erasure_id      uuid not null references auth.erasure (id) on delete cascade,
    conversation_id uuid not null,
    positions       bigint[] not null,
    -- The last event that says of content of this request that it is erased.
    told_at         bigint,
    primary key (erasure_id, conversation_id)
);
