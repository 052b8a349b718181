-- The users of a host application, by the ids of that application. There is one tenant until there are namespaces.
create table auth.external_id (
    tenant      text   collate "C" not null,
    external_id text   collate "C" not null,
    account_id  uuid   not null unique references auth.account (id) on delete cascade,
    -- What the host application keeps with its user: JSON in the bytes in which it came.
    metadata    text,
    roles       text[] not null default '{}',
    primary key (tenant, external_id)
);

-- The service account that asked for a login in the name of a user, and the seconds that its access tokens live. None
-- for a login that began with a password.
alter table auth.login
    add column via uuid,
    add column life_s integer;
