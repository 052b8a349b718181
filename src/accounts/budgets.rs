//! Budgets that all nodes count exactly and that outlive processes: of log-ins and registrations. Times are
//! Postgres' own, so that clocks that differ do not matter.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

/// A budget as GCRA keeps it: one time, at which it is full again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Its name.
    pub key: u64,
    /// The time in which it grows by one unit.
    pub interval: Duration,
    /// The units that it holds.
    pub burst: u32,
}

/// Takes one unit. Otherwise returns the time until there is a unit.
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
    Ok(if wait == 0.0 { Ok(()) } else { Err(Duration::from_secs_f64(wait)) })
}

/// Puts one unit back.
pub(crate) async fn give_back(pool: &PgPool, budget: &Budget) -> sqlx::Result<()> {
    sqlx::query("update auth.budget set full_at = full_at - make_interval(secs => $2) where key = $1")
        .bind(budget.key.cast_signed())
        .bind(budget.interval.as_secs_f64())
        .execute(pool)
        .await
        .map(drop)
}

/// Removes budgets that are full, failures that are forgotten and invitations that have expired. Nodes that do so at
/// once share the work.
pub(crate) async fn forget_old(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query(
        "with expired as (
             delete from auth.invitation where (invited_id, conversation_id) in (
                 select invited_id, conversation_id from auth.invitation
                 where expires_at < now() - interval '1 day' limit 1000 for update skip locked)
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
