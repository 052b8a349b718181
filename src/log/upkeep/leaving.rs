//! Leaves a server that gives no useful answer.

use std::time::Duration;

use tokio::time::timeout;

use crate::log::Log;

/// How long another server may take to accept this client.
const RECONNECT: Duration = Duration::from_secs(3);
/// The most attempts in a row to leave a server. The client chooses the next server at random, so it may be the same
/// one.
const TRIES: usize = 4;

impl Log {
    /// Connects to another server of the pool. `false` if there is none.
    pub(super) async fn leave_server(&self) -> bool {
        let left = self.client.server_info();
        match self.client.server_pool().await {
            Ok(pool) if pool.len() > 1 => {}
            // There is no other server.
            _ => return false,
        }
        tracing::warn!(
            server = left.server_name,
            "no stream answered through this nats-server; connecting to another one"
        );
        for _ in 0..TRIES {
            let mut connections = self.connections();
            if self.client.force_reconnect().await.is_err() {
                return false;
            }
            if timeout(RECONNECT, connections.changed()).await.is_err() {
                continue;
            }
            let server = self.client.server_info();
            if server.server_id != left.server_id {
                tracing::info!(server = server.server_name, "connected to another nats-server");
                return true;
            }
        }
        true
    }
}
