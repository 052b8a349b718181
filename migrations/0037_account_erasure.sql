-- Erasures of accounts. The row of an erased account keeps its id and nothing that says whose it was.
alter table auth.account add column erased_at timestamptz;

alter table auth.erasure
    -- What is erased: `content` of the messages that the request names, or an account, or an account with all of its messages.
    add column scope text not null default 'content' check (scope in ('content', 'account', 'account_and_content')),
    add column account_id uuid,
    -- The number of rows of accounts that were emptied or removed.
    add column rows integer not null default 0,
    add column account_erased_at timestamptz,
    add check ((account_id is null) = (scope = 'content'));

-- An account has one request at a time.
create unique index erasure_of_account on auth.erasure (account_id) where account_id is not null and done_at is null;
