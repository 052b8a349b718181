-- How often passwords are tried and accounts are made. All keys are keyed hashes, so that neither an address nor
-- a name that somebody has typed stands here.

-- The budgets of groups of addresses. A row is removed when its budget is full again.
create table auth.budget (
    key     bigint primary key,
    full_at timestamptz not null
);

create index budget_full on auth.budget (full_at);

-- Wrong passwords for a name: from everywhere, and from one group of addresses. A row is removed when it is
-- forgotten.
create table auth.failure (
    key          bigint primary key,
    failures     integer not null,
    failed_at    timestamptz not null,
    forgotten_at timestamptz not null
);

create index failure_forgotten on auth.failure (forgotten_at);

-- The group of addresses from which a login began; none for logins of older versions.
alter table auth.login add column place bigint;
