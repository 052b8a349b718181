-- The ids of the events at the positions, in the same order. After a restore, another event may be at a position.
alter table auth.erasure_conversation add column events uuid[] not null default '{}';
