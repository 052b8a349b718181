//! Gives the log access to the snapshots of rosters in the views, so that it need not read a roster from its first
//! event.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use crate::{log::Snapshots, views};

/// The time limit of the query. Without a snapshot, the whole roster is read from the log, which takes longer but
/// needs no Postgres.
const ANSWER: Duration = Duration::from_secs(1);

/// The snapshots in the views of a database.
pub fn snapshots(pool: &PgPool) -> Snapshots {
    let pool = pool.clone();
    Snapshots::by(move |conversation, up_to| {
        let pool = pool.clone();
        async move {
            match timeout(ANSWER, views::snapshot(&pool, conversation, up_to)).await {
                Ok(Ok(snapshot)) => snapshot,
                Ok(Err(error)) => {
                    tracing::debug!(%error, %conversation, "could not look up a snapshot of a roster");
                    None
                }
                Err(_) => None,
            }
        }
    })
}
