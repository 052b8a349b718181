create table conversation (
    id         uuid primary key,
    kind       text        not null,
    title      text,
    -- The event that gave the title, also if the title was erased; none for a direct conversation.
    titled_at  bigint,
    history    text        not null,
    -- The seconds for which it keeps messages, if it says so itself.
    retention  bigint,
    created_by uuid        not null,
    created_at timestamptz not null,
    -- The last event of the roster and how many it has had, the last event that counts, and when somebody last
    -- spoke.
    roster     bigint      not null,
    changes    bigint      not null,
    head       bigint      not null,
    active_at  timestamptz not null
);
