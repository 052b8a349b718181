-- The accounts of programs, and their keys.

create table auth.service_account (
    id         uuid primary key references auth.account (id) on delete cascade,
    -- The words of what its keys may do at most.
    scopes     text[] not null,
    created_at timestamptz not null
);

create index service_account_in_order on auth.service_account (created_at, id);

create table auth.api_key (
    id                uuid primary key,
    account_id        uuid not null references auth.service_account (id) on delete cascade,
    -- The part of the key that may be shown, by which it is looked up.
    public_id         text collate "C" not null unique,
    -- The SHA-256 of the whole key. It has 256 random bits, so nobody finds it by its hash.
    hash              bytea not null check (octet_length(hash) = 32),
    name              text not null,
    scopes            text[] not null,
    -- The networks from which the key may be used, as CIDR; empty for all.
    addresses         text[] not null default '{}',
    created_at        timestamptz not null,
    expires_at        timestamptz,
    revoked_at        timestamptz,
    last_used_at      timestamptz,
    last_used_address text
);

create index api_key_of_account on auth.api_key (account_id, created_at);

-- For the deny set, into which every node takes the keys that have ended.
create index api_key_ended on auth.api_key (least(revoked_at, expires_at))
    where revoked_at is not null or expires_at is not null;
