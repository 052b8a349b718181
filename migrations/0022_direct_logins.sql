-- Logins whose tokens of an issuer are used as they are stand in the list of the user's logins.
alter table auth.direct_login
    add column created_at timestamptz not null default now(),
    add column last_used_at timestamptz not null default now();

-- Accounts that were deactivated lately: nodes tell the users why their logins have ended.
create index account_deactivated on auth.account (deactivated_at) where deactivated_at is not null;
