-- Limits of a service account that differ from everybody's: a rate by the name of its policy, as in the settings.

alter table auth.service_account add column limits jsonb not null default '{}';
