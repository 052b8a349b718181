-- Conversations whose views stand still: the event that cannot be read or projected, and why. What
-- came later waits in the log.
create table parked (
    stream       int         not null,
    position     bigint      not null,
    -- None if its subject names no conversation: then nothing waits.
    conversation uuid unique,
    reason       text        not null,
    parked_at    timestamptz not null default now(),
    primary key (stream, position)
);
