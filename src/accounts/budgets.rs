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
    take_on(&mut *pool.acquire().await?, budget).await
}

/// The same on a connection, where it may be a part of a transaction.
pub(super) async fn take_on(
    connection: &mut PgConnection,
    budget: &Budget,
) -> sqlx::Result<Result<(), Duration>> {
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
    .fetch_one(&mut *connection)
    .await?;
    let wait = Duration::from_secs_f64(wait);
    if wait > interval {
        sqlx::query(
            "update auth.budget set full_at = now() + make_interval(secs => $2)
             where key = $1 and full_at > now() + make_interval(secs => $2)",
        )
        .bind(key.cast_signed())
        .bind((interval * burst).as_secs_f64())
        .execute(connection)
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
