-- The copies of the log, by name, that keep a request from being done: mirrors, and the stream of copies of parked events.
alter table auth.erasure add column waits_for text[] not null default '{}';
