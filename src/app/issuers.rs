//! The external issuers of a node: their file is reloaded on SIGHUP, and added and removed issuers are audited.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::{sync::Notify, time::sleep};

use super::patience::RETRY;
use crate::{
    accounts,
    clock::Clock,
    issuers::{Issuers, keep_current},
    supervise::Supervisor,
};

/// Keeps the issuers current with their file for the life of the process.
pub(super) fn follow(issuers: &Arc<Issuers>, pool: &PgPool, clock: &Clock, tasks: &Supervisor) {
    let read = Arc::new(Notify::new());
    tasks.spawn("issuers", {
        let (issuers, read) = (issuers.clone(), read.clone());
        async move { keep_current(&issuers, || read.notify_one()).await }
    });
    let (issuers, pool, clock) = (issuers.clone(), pool.clone(), clock.clone());
    tasks.spawn("known issuers", async move {
        loop {
            // This records the current set, so when the file is read twice in a row, recording the second set is
            // enough.
            while let Err(error) = accounts::note_issuers(&pool, &issuers.hashes(), &clock).await {
                tracing::warn!(%error, "could not record the issuers of the file; retrying");
                sleep(RETRY).await;
            }
            read.notified().await;
        }
    });
}
