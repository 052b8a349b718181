-- The refresh tokens of a login that were used a moment ago, and when: until the grace period is over, one that comes
-- back is a lost answer and no theft.
create table auth.spent_refresh (
    login_id   uuid not null references auth.login (id) on delete cascade,
    generation integer not null,
    spent_at   timestamptz not null,
    primary key (login_id, generation)
);
