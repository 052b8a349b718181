-- Audit events on their way from the transaction that made the change to the stream AUDIT. A node appends each row to the
-- stream and removes it. Ids, words, counts and hashes only: no name, no address, no text.
create table auth.audit (
    -- The order in which rows were inserted. A transaction inserts its row behind the lock on what it changes, so of two
    -- changes to one subject the later one has the greater number.
    seq     bigint generated always as identity primary key,
    id      uuid not null unique,
    -- The type of the event: its area, and what happened there.
    word    text collate "C" not null,
    -- Whom or what it is about: the last token of the subject in the stream.
    subject text collate "C" not null check (subject ~ '^[0-9A-Za-z_-]{1,64}$'),
    time    timestamptz not null,
    -- Who made the change, and the service account through which; none for an operator on the machine.
    actor   uuid,
    via     uuid,
    data    jsonb not null
);

-- Whether the log has ever had the stream AUDIT: one that is lost must not come back empty by itself.
alter table auth.installation add column has_audit boolean not null default false;
