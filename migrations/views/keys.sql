-- The idempotency keys of what was done with messages, and of what is void; those of the messages
-- stand with them.
create table key (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    client_id       text   collate "C" not null,
    position        bigint not null,
    primary key (conversation_id, user_id, client_id)
);
-- An erasure names positions. The rows that it leaves, one for each erased message, it never looks for.
create index key_position on key (conversation_id, position) where client_id not like 'erased:%';
