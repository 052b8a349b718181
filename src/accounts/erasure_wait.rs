//! How long the oldest erasure has waited for the processes that erase.

use std::time::Duration;

use sqlx::PgExecutor;

/// How long the oldest due erasure has waited: for a node to hide its content, or since then for the eraser to delete
/// it from the log. `None` if none waits. Erasures that wait only for holds, archives or copies of the log do not count,
/// because no process of this installation can hurry them.
pub(crate) async fn oldest_erasure(executor: impl PgExecutor<'_>) -> sqlx::Result<Option<Duration>> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "select extract(epoch from now() - min(coalesce(hidden_at, starts_at)))::float8 from auth.erasure
         where done_at is null and log_done_at is null and held_by = '{}' and starts_at <= now()",
    )
    .fetch_one(executor)
    .await?;
    // `hidden_at` comes from the clock of a node, which may be ahead.
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
