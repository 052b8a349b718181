create table member (
    conversation_id uuid        not null,
    user_id         uuid        not null,
    role            text        not null,
    since           bigint      not null,
    joined_at       timestamptz not null,
    primary key (conversation_id, user_id)
);
create index member_user on member (user_id);

-- Who was in a conversation and is not any more, or not without a break: from the event by which
-- they came in to the one by which they went.
create table past_member (
    conversation_id uuid   not null,
    user_id         uuid   not null,
    since           bigint not null,
    until           bigint not null,
    primary key (conversation_id, user_id, since)
);
create index past_member_user on past_member (user_id, until);
