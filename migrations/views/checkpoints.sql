-- How far each projection has come in each stream of the log, and in which life of the log.
create table checkpoint (
    projection text   collate "C" not null,
    stream     int    not null,
    epoch      text   collate "C" not null,
    position   bigint not null,
    -- The id of the event at that position: a log restored from an older copy has another one there, or
    -- none. The nil id stands before the first event.
    event      uuid   not null,
    primary key (projection, stream)
);
