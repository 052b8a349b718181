-- Whether an archive may have content of requests that are done: it is new, or nobody has written to it for a day, so no request
-- has waited for it.
alter table auth.archive add column is_behind boolean not null default true;

-- The requests that wait for an archive. Every archiver asks for them every few seconds, and rows are never removed.
create index erasure_in_archives on auth.erasure (log_done_at) where log_done_at is not null and archive_done_at is null;
