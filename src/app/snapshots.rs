//! Rosters as the views have kept them, for the log to begin with.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use crate::{log::Snapshots, views};

/// How long Postgres may take. Without its answer a roster is read whole, which takes longer but needs the log alone.
const ANSWER: Duration = Duration::from_secs(1);

/// The snapshots that the views of a database keep.
pub fn snapshots(pool: &PgPool) -> Snapshots {
    let pool = pool.clone();
    Snapshots::by(move |conversation, up_to| {
        let pool = pool.clone();
        async move {
            match timeout(ANSWER, views::snapshot(&pool, conversation, up_to)).await {
                Ok(Ok(snapshot)) => snapshot,
                Ok(Err(error)) => {
                    tracing::debug!(%error, %conversation, "could not find a snapshot of a roster");
                    None
                }
                Err(_) => None,
            }
        }
    })
}
