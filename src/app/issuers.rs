//! The external issuers of a node: their file is read again on SIGHUP, and what has come and gone is audited.

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

/// Follows the file of the issuers for as long as the process lives.
pub(super) fn follow(issuers: &Arc<Issuers>, pool: &PgPool, clock: &Clock, tasks: &Supervisor) {
    let read = Arc::new(Notify::new());
    tasks.spawn("issuers", {
        let (issuers, read) = (issuers.clone(), read.clone());
        async move { keep_current(&issuers, || read.notify_one()).await }
    });
    let (issuers, pool, clock) = (issuers.clone(), pool.clone(), clock.clone());
    tasks.spawn("known issuers", async move {
        loop {
            // The set that is noted is the present one, so of two readings in a row the second one is enough.
            while let Err(error) = accounts::note_issuers(&pool, &issuers.hashes(), &clock).await {
                tracing::warn!(%error, "could not record the issuers of the file; retrying");
                sleep(RETRY).await;
            }
            read.notified().await;
        }
    });
}
