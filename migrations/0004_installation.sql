-- What this installation is: which log belongs to it, and the key that authenticates its cursors. A dump of
-- the schema has it, so a restored database still knows its log.
create table auth.installation (
    id         int   primary key default 1 check (id = 1),
    -- The epoch of the log; none before there was a log. A log is made only while there is none.
    epoch      text  collate "C",
    cursor_key bytea not null check (length(cursor_key) = 32)
);
