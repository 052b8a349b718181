-- When no Raft log of the servers had the content of a request any more.
alter table auth.erasure add column wal_compacted_at timestamptz;
