create table pin (
    conversation_id uuid        not null,
    message         bigint      not null,
    position        bigint      not null,
    pinned_by       uuid        not null,
    pinned_at       timestamptz not null,
    primary key (conversation_id, message)
);
