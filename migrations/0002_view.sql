-- Everything in this schema can be dropped and comes back identical from the log.
create schema view;

-- How far each projection has come in each stream of the log, and in which life of the log.
create table view.checkpoint (
    projection text   collate "C" not null,
    stream     int    not null,
    epoch      text   collate "C" not null,
    position   bigint not null,
    primary key (projection, stream)
);

create table view.conversation (
    id         uuid primary key,
    kind       text        not null,
    title      text,
    history    text        not null,
    created_by uuid        not null,
    created_at timestamptz not null,
    -- The last event of the roster, the last event that counts, and when that was.
    roster     bigint      not null,
    head       bigint      not null,
    active_at  timestamptz not null
);

create table view.member (
    conversation_id uuid        not null,
    user_id         uuid        not null,
    role            text        not null,
    since           bigint      not null,
    joined_at       timestamptz not null,
    primary key (conversation_id, user_id)
);
create index member_user on view.member (user_id);

-- Who was in a conversation and is not any more, or not without a break: from the event by which
-- they came in to the one by which they went.
create table view.past_member (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    since           bigint not null,
    until           bigint not null,
    primary key (conversation_id, user_id, since)
);
create index past_member_user on view.past_member (user_id, until);

create table view.message (
    conversation_id uuid        not null,
    position        bigint      not null,
    id              uuid        not null,
    sender          uuid        not null,
    client_id       text        collate "C" not null,
    text            text        not null,
    sent_at         timestamptz not null,
    primary key (conversation_id, position)
);
-- A retry is known by its key, for ever.
create unique index message_key on view.message (conversation_id, sender, client_id);

create table view.receipt (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    delivered       bigint not null,
    read            bigint not null,
    delivered_at    timestamptz,
    read_at         timestamptz,
    primary key (conversation_id, user_id)
);
