//! Each node's report about itself, from which the others learn whether an outage is theirs alone. It is sent over core
//! NATS, at most once, and no stream stores it.

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::log::{Log, Unavailable};

const SUBJECT: &str = "verbatim.node.seen";

/// A node's report about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The name of the node.
    pub node: String,
    /// Whether the node reaches Postgres.
    pub has_database: bool,
}

/// The reports of all nodes, including this one.
pub struct Peers(Subscriber);

impl Log {
    /// Sends this node's report to all nodes.
    pub async fn tell_peers(&self, peer: &Peer) -> Result<(), Unavailable> {
        let payload = serde_json::to_vec(peer).map_err(Unavailable::because)?;
        self.client.publish(SUBJECT, payload.into()).await.map_err(Unavailable::because)
    }

    /// Listens to all nodes. The subscription outlives reconnects.
    pub async fn peers(&self) -> Result<Peers, Unavailable> {
        self.client.subscribe(SUBJECT).await.map(Peers).map_err(Unavailable::because)
    }
}

impl Peers {
    /// The next report that can be read; `None` when the connection is closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Peer> {
        loop {
            let message = self.0.next().await?;
            if let Ok(peer) = serde_json::from_slice(&message.payload) {
                return Some(peer);
            }
        }
    }
}
