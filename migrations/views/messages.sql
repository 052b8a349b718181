create table message (
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
create unique index message_key on message (conversation_id, sender, client_id);
