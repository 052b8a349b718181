//! What the log of a story lies on: one nats-server, or a cluster of them.

use async_nats::Client;
use verbatim::dev::{Cluster, Nats, NatsUser};

/// The servers of the log, as nodes and stories use them.
pub trait Backbone: Sync {
    fn url(&self) -> &str;
    /// Copies of each stream.
    fn replicas(&self) -> usize;
    fn client(&self, user: NatsUser) -> impl Future<Output = Client> + Send;
    fn end(self) -> impl Future<Output = ()>;
}

impl Backbone for Nats {
    fn url(&self) -> &str {
        self.url()
    }

    fn replicas(&self) -> usize {
        1
    }

    async fn client(&self, user: NatsUser) -> Client {
        self.connect(user).await.expect("NATS")
    }

    async fn end(self) {
        self.stop().await;
    }
}

impl Backbone for Cluster {
    fn url(&self) -> &str {
        self.url()
    }

    fn replicas(&self) -> usize {
        3
    }

    async fn client(&self, user: NatsUser) -> Client {
        self.connect(user).await.expect("NATS")
    }

    async fn end(self) {
        self.stop().await;
    }
}
