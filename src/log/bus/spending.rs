//! The requests that nodes have admitted, for the rate limits of the other nodes. They are sent over core NATS, at most
//! once.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::log::{Log, Unavailable};

const SPENT: &str = "verbatim.limits";

/// The messages of all nodes, including this one.
pub struct Spendings(Subscriber);

impl Log {
    /// Tells all nodes how much this one has admitted.
    pub async fn tell_spending(&self, message: Vec<u8>) -> Result<(), Unavailable> {
        self.client.publish(SPENT, message.into()).await.map_err(Unavailable::because)
    }

    /// Listens to all nodes.
    pub async fn spendings(&self) -> Result<Spendings, Unavailable> {
        self.client.subscribe(SPENT).await.map(Spendings).map_err(Unavailable::because)
    }
}

impl Spendings {
    /// The next message; `None` when the connection is closed for good.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.next().await.map(|message| message.payload)
    }
}
