create table mention (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    message         bigint not null,
    primary key (conversation_id, user_id, message)
);
create index mention_message on mention (conversation_id, message);
