//! The turn to project a stream is an advisory lock. Its holder keeps it until its Postgres session ends. So the
//! session has to end soon after the holder is gone, even without notice: a machine that loses power or network closes
//! no connection, and a proxy may keep the connection open for it. The holder sends a query every five seconds
//! (`project.rs`), and Postgres ends the session of a silent holder.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::{sleep, timeout};

use crate::{log::Log, projector::stopped::Stopped};

/// The pause between two attempts to take a turn.
const PAUSE: Duration = Duration::from_millis(500);
/// How long Postgres may take to answer a cheap query.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// A holder that is silent for this long loses its turn. Within a transaction, Postgres allows less
/// (`app/database.rs`).
const SILENCE: &str = "set idle_session_timeout = '15s'";

/// Waits until no other projector works on the stream for the same schema, and returns the connection that holds the
/// lock. A projector that cannot reach the log could do nothing with the turn, so it waits and leaves the turn to
/// others.
pub(super) async fn take_turn(
    log: &Log,
    pool: &PgPool,
    schema: &str,
    stream: usize,
) -> Result<PgConnection, Stopped> {
    while !log.is_connected() {
        sleep(PAUSE).await;
    }
    let mut turn = pool.acquire().await?.detach();
    in_time(ANSWER, sqlx::raw_sql(SILENCE).execute(&mut turn)).await?;
    let name = format!("verbatim projector of {schema}");
    while !in_time(ANSWER, try_lock(&mut turn, &name, stream)).await? {
        sleep(PAUSE).await;
    }
    Ok(turn)
}

/// Takes an advisory lock if it is free. The lock is held until the connection closes.
pub(super) async fn try_lock(connection: &mut PgConnection, name: &str, number: usize) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock(hashtext($1), $2)")
        .bind(name)
        .bind(number as i32)
        .fetch_one(connection)
        .await
}

/// Waits for an answer of Postgres, up to `patience`. After a time-out the connection must not be used again.
pub(super) async fn in_time<T, E: Into<Stopped>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Stopped> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err(Stopped::Database(silent.into()))
        }
    }
}
