create table receipt (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    delivered       bigint not null,
    read            bigint not null,
    delivered_at    timestamptz,
    read_at         timestamptz,
    primary key (conversation_id, user_id)
);
