create table message (
    conversation_id uuid        not null,
    position        bigint      not null,
    id              uuid        not null,
    sender          uuid        not null,
    -- No key that is accepted is longer; the index that a rebuild makes last would fail for one row of all.
    client_id       text        collate "C" not null check (octet_length(client_id) <= 1024),
    -- As it is now; empty once it is deleted.
    text            text        not null,
    sent_at         timestamptz not null,
    -- The message that it answers.
    reply_to        uuid,
    reply_to_at     bigint,
    -- JSON in the bytes in which it came: jsonb would write its numbers in another way.
    metadata        text,
    -- Whether it ever had a mention, a reaction or a pin: only then a page looks for them.
    marked          boolean     not null default false,
    -- The last edit that counts.
    edited          bigint,
    edited_at       timestamptz,
    deleted_at      timestamptz,
    deleted_by      uuid,
    -- Of the text as it is now, made by `views/words.rs`; none once it is deleted.
    words           tsvector,
    -- Unread messages are counted without a look at the rows. Those that Postgres has not vacuumed yet it looks at
    -- nevertheless, and by default it waits until a fifth of all messages are new: those that most people have not read.
    primary key (conversation_id, position) include (sender)
) with (autovacuum_vacuum_insert_scale_factor = 0.01);

-- The texts of messages that were edited, the first among them, by the position at which each was said.
create table message_version (
    conversation_id uuid        not null,
    message         bigint      not null,
    position        bigint      not null,
    text            text        not null,
    said_at         timestamptz not null,
    primary key (conversation_id, message, position)
);
