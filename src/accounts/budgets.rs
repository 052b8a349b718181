//! The budgets of logins and registrations. The database counts them, so all nodes agree exactly and a
//! restart forgets nothing. All times come from the clock of Postgres, so clock differences between nodes do
//! not matter.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

/// A budget, counted by GCRA: the only state of a budget is the time at which the budget is full again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// The key of the budget in the database.
    pub key: u64,
    /// The time in which the budget grows by one unit.
    pub interval: Duration,
    /// The number of units in a full budget.
    pub burst: u32,
}

/// Takes one unit. If there is none, takes nothing and returns the time until there is one. This is never longer than
/// the interval: a budget that was used up at a slower rate counts as used up at the present rate.
pub(crate) async fn take(pool: &PgPool, budget: &Budget) -> sqlx::Result<Result<(), Duration>> {
    let Budget { key, interval, burst } = *budget;
    let wait: f64 = sqlx::query_scalar(
        "with taken as (
             insert into auth.budget as old (key, full_at) values ($1, now() + make_interval(secs => $2))
             on conflict (key) do update set full_at = greatest(old.full_at, now()) + make_interval(secs => $2)
             where greatest(old.full_at, now()) + make_interval(secs => $2) <= now() + make_interval(secs => $3)
             returning key
         )
         select case when exists (select from taken) then 0 else greatest(
             extract(epoch from (select full_at from auth.budget where key = $1) - now()) + $2 - $3, 0.001) end::float8",
    )
    .bind(key.cast_signed())
    .bind(interval.as_secs_f64())
    .bind((interval * burst).as_secs_f64())
    .fetch_one(pool)
    .await?;
    let wait = Duration::from_secs_f64(wait);
    if wait > interval {
        sqlx::query(
            "update auth.budget set full_at = now() + make_interval(secs => $2)
             where key = $1 and full_at > now() + make_interval(secs => $2)",
        )
        .bind(key.cast_signed())
        .bind((interval * burst).as_secs_f64())
        .execute(pool)
        .await?;
    }
    Ok(if wait.is_zero() { Ok(()) } else { Err(wait.min(interval)) })
}

/// Gives one unit back.
pub(crate) async fn give_back(pool: &PgPool, budget: &Budget) -> sqlx::Result<()> {
    sqlx::query("update auth.budget set full_at = full_at - make_interval(secs => $2) where key = $1")
        .bind(budget.key.cast_signed())
        .bind(budget.interval.as_secs_f64())
        .execute(pool)
        .await
        .map(drop)
}

/// Deletes full budgets, expired failures, invitations that expired more than a day ago, and log-outs at issuers that no
/// token can be older than, up to 1,000 rows of each. Rows that another node is deleting are skipped, so concurrent nodes
/// share the work.
pub(crate) async fn forget_old(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "with expired as (
             delete from auth.invitation where (invited_id, conversation_id) in (
                 select invited_id, conversation_id from auth.invitation
                 where expires_at < now() - interval '1 day' limit 1000 for update skip locked)
         ), over as (
             delete from auth.external_logout where (issuer, kind, value) in (
                 select issuer, kind, value from auth.external_logout
                 where until < now() - interval '1 hour' limit 1000 for update skip locked)
         ), full_again as (
             delete from auth.budget where key in (
                 select key from auth.budget where full_at < now() limit 1000 for update skip locked)
         )
         delete from auth.failure where key in (
             select key from auth.failure where forgotten_at < now() limit 1000 for update skip locked)",
    )
    .execute(connection)
    .await
    .map(drop)
}
