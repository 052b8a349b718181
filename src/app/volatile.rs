//! What lies in memory of nats-server: presence and leases.

use tokio::time::sleep;

use crate::{app::patience::RETRY, log::Log};

/// Makes the streams and buckets in memory anew after each reconnect: a restarted nats-server has lost them.
pub(super) async fn remake(log: Log) {
    let mut connections = log.connections();
    while connections.changed().await.is_ok() {
        while let Err(e) = log.make_volatile().await {
            tracing::warn!(error = %e, "could not restore presence and leases; retrying");
            sleep(RETRY).await;
        }
    }
}
