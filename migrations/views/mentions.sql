create table mention (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    message         bigint not null,
    -- Who mentions them.
    sender          uuid   not null,
    primary key (conversation_id, user_id, message) include (sender)
);
create index mention_message on mention (conversation_id, message);
