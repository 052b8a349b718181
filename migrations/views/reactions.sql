create table reaction (
    conversation_id uuid        not null,
    message         bigint      not null,
    emoji           text        collate "C" not null,
    user_id         uuid        not null,
    position        bigint      not null,
    reacted_at      timestamptz not null,
    primary key (conversation_id, message, emoji, user_id)
);
