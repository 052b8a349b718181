-- Codes with which people may register while registration is by invitation. Only the SHA-256 of a code is kept.
create table auth.invite_code (
    id         uuid primary key,
    code_hash  bytea not null unique check (length(code_hash) = 32),
    uses       integer not null check (uses > 0),
    used       integer not null default 0 check (used between 0 and uses),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz
);

-- Tokens with which people set a new password without the present one: one for each account, of which only the SHA-256 is
-- kept.
create table auth.recovery (
    account_id uuid primary key references auth.account (id) on delete cascade,
    token_hash bytea not null unique check (length(token_hash) = 32),
    created_at timestamptz not null,
    expires_at timestamptz not null
);
