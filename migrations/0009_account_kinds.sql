-- Accounts that nobody registered here: those of programs, of the users of a host application, and of the users of an
-- external issuer.
alter table auth.account
    add column kind text not null default 'user' check (kind in ('user', 'service')),
    add column origin text not null default 'registered'
        check (origin in ('registered', 'provisioned', 'external', 'service')),
    add column avatar_url text,
    -- A deactivated account keeps its place in conversations; it has no login and cannot act.
    add column deactivated_at timestamptz,
    -- An account without a password cannot log in by one.
    alter column password_hash drop not null;
