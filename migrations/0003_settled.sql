-- What an account has settled for itself. Nobody else is told of it, so it is not in the log.

-- How somebody wants to see a conversation; without a row as it is.
create table auth.conversation_setting (
    account_id      uuid not null references auth.account (id) on delete cascade,
    conversation_id uuid not null,
    muted           boolean not null default false,
    -- For good, if there is no end.
    muted_until     timestamptz,
    archived        boolean not null default false,
    primary key (account_id, conversation_id)
);

create index conversation_archived on auth.conversation_setting (account_id) where archived;

-- Whom somebody has blocked.
create table auth.block (
    account_id uuid not null references auth.account (id) on delete cascade,
    blocked_id uuid not null references auth.account (id) on delete cascade,
    created_at timestamptz not null,
    primary key (account_id, blocked_id)
);

create index block_of on auth.block (blocked_id);
