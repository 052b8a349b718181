-- How far each projection has come in each stream of the log, and in which life of the log.
create table checkpoint (
    projection text   collate "C" not null,
    stream     int    not null,
    epoch      text   collate "C" not null,
    position   bigint not null,
    primary key (projection, stream)
);
