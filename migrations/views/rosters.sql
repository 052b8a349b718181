-- Rosters as they were, one in so many events of each: where reading a long one may begin.
create table roster (
    conversation_id uuid     not null,
    -- The event behind which it was so, and how many the roster had had by then.
    position        bigint   not null,
    event           uuid     not null,
    changes         bigint   not null,
    kind            text     not null,
    title           text,
    -- The event that gave the title, also if the title was erased.
    titled_at       bigint,
    history         text     not null,
    retention       bigint,
    -- The members, each in the same place of all three.
    members         uuid[]   not null,
    roles           text[]   not null,
    sinces          bigint[] not null,
    primary key (conversation_id, position)
);
