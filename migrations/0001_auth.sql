-- Who may ask. The one truth outside the log: never rebuilt, so never dropped with the views.

create schema if not exists auth;

create table auth.account (
    id            uuid primary key,
    username      text not null,
    -- What the name looks like, in lower case: two names that look alike are one name.
    username_key  text collate "C" not null unique,
    display_name  text not null,
    password_hash text not null,
    created_at    timestamptz not null,
    last_seen_at  timestamptz
);

-- A family of refresh tokens that began with one password check. Only its youngest token is good;
-- of that only the SHA-256 is kept.
create table auth.login (
    id           uuid primary key,
    account_id   uuid not null references auth.account (id) on delete cascade,
    device       text,
    generation   integer not null,
    token_hash   bytea not null,
    salt         bytea not null,
    created_at   timestamptz not null,
    rotated_at   timestamptz not null,
    last_used_at timestamptz not null,
    expires_at   timestamptz not null,
    revoked_at   timestamptz
);

create index login_of_account on auth.login (account_id, created_at);

-- For the deny set, which every node reads at its start.
create index login_revoked on auth.login (revoked_at) where revoked_at is not null;
