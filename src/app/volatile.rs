//! The state that nats-server keeps in memory: presence and leases.

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    app::{AppError, Process, patience::RETRY},
    config::Settings,
    log::Log,
    presence::Presence,
};

/// Starts presence.
pub(super) async fn presence(
    settings: &Settings,
    log: &Log,
    pool: &PgPool,
    Process { clock, tasks, .. }: &Process,
) -> Result<Presence, AppError> {
    Ok(Presence::start(log.clone(), pool.clone(), clock.clone(), settings.presence(), tasks).await?)
}

/// Recreates the streams and buckets in memory after each reconnect, because a restarted nats-server has lost them.
pub(super) async fn remake(log: Log) {
    let mut connections = log.connections();
    while connections.changed().await.is_ok() {
        while let Err(e) = log.make_volatile().await {
            tracing::warn!(error = %e, "could not restore presence and leases; retrying");
            sleep(RETRY).await;
        }
    }
}
