//! The turn to project a stream: an advisory lock, which its holder has for as long as its session with Postgres
//! lives. So the session has to end soon after the holder is gone, even without a sign: a machine without power or
//! network says no goodbye, and a proxy may answer for it. The holder asks something every five seconds
//! (`project.rs`), and a silent holder loses its session.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::{sleep, timeout};

use crate::{log::Log, projector::stopped::Stopped};

/// The wait between two attempts to get a turn.
const PAUSE: Duration = Duration::from_millis(500);
/// How long Postgres may take for an answer that costs nothing.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// A holder that is silent for so long has lost its turn. Within a transaction, Postgres waits for less
/// (`app.rs`).
const SILENCE: &str = "set idle_session_timeout = '15s'";

/// Waits until no other projector works on the stream for the same schema, and returns the connection that holds the
/// lock. A projector without a log could do nothing in its turn, so it leaves the turn to others.
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

/// Takes an advisory lock for as long as the connection lives, if it is free.
pub(super) async fn try_lock(connection: &mut PgConnection, name: &str, number: usize) -> sqlx::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock(hashtext($1), $2)")
        .bind(name)
        .bind(number as i32)
        .fetch_one(connection)
        .await
}

/// Awaits an answer of Postgres for so long. After a time-out the connection is of no use any more.
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
