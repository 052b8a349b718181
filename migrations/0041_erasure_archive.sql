-- Archives of the log to which a process writes all the time, by a hash of their place.
create table auth.archive (
    id      uuid primary key,
    seen_at timestamptz not null
);

-- The archives that have nothing of an erasure any more. The list of what an archiver still has to do is what is missing here.
create table auth.erasure_archive (
    erasure_id uuid not null references auth.erasure (id) on delete cascade,
    archive_id uuid not null,
    primary key (erasure_id, archive_id)
);

-- When no archive had anything of it any more.
alter table auth.erasure add column archive_done_at timestamptz;
