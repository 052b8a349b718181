-- The epochs that the log had before its present one, the oldest first. They say which archives are archives of this log,
-- even if the log is lost.
alter table auth.installation add column former_epochs text[] collate "C" not null default '{}';
