-- Consumers of the log: somebody else's programs, which read by durables of their name and log in by credentials that are
-- kept nowhere.

create table auth.consumer (
    name           text collate "C" primary key check (name ~ '^[a-z][a-z0-9-]{1,31}$'),
    -- The name of audit events, which hold no name.
    id             uuid not null unique,
    -- What it reads: its lanes, and its conversations; none for all.
    lanes          text[] not null,
    conversations  uuid[] not null default '{}',
    types          text[] not null default '{}',
    reads_audit    boolean not null,
    gives_commands boolean not null,
    -- The public key of the user, by which its credentials are revoked.
    user_key       text collate "C" not null unique,
    created_at     timestamptz not null,
    expires_at     timestamptz
);

-- Credentials to be revoked. A revocation takes effect the moment that the servers are told it, and the nodes hold no key
-- for that: the due ones wait here for a command that does.
create table auth.consumer_revocation (
    user_key   text collate "C" primary key,
    name       text collate "C" not null,
    due_at     timestamptz not null
);

create index consumer_revocation_due on auth.consumer_revocation (due_at);
