//! What the nodes tell one another of themselves, so that each knows whether an outage is its own: core
//! NATS, at most once, kept by nobody.

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::log::{Log, Unavailable};

const SUBJECT: &str = "verbatim.node.seen";

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub node: String,
    /// Whether it reaches Postgres.
    pub has_database: bool,
}

/// What all nodes say, this one too.
pub struct Peers(Subscriber);

impl Log {
    /// Tells all nodes how this one is.
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
    /// The next one that can be read; `None` when the connection is closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Peer> {
        loop {
            let message = self.0.next().await?;
            if let Ok(peer) = serde_json::from_slice(&message.payload) {
                return Some(peer);
            }
        }
    }
}
