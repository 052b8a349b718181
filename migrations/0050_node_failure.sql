-- When a background task of this process failed, which then stopped. The process that its supervisor starts next has another id.
alter table auth.node add column failed_at timestamptz;
