-- Exports of the data of an account. A row says what an export reads: up to which position of each stream of which log. The
-- export itself is made while it is downloaded, so nothing of it lies here or anywhere else.
create table auth.export (
    id         uuid primary key,
    account_id uuid not null references auth.account (id) on delete cascade,
    since      timestamptz,
    epoch      text not null,
    positions  bigint[] not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index export_of on auth.export (account_id, created_at);
