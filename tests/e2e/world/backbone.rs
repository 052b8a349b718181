//! What the log of a story lies on: one nats-server, or a cluster of them.

use async_nats::Client;
use verbatim::dev::NatsUser;

use crate::servers::{Cluster, Nats};

/// The servers of the log, as nodes and stories use them.
pub trait Backbone: Sync {
    /// With the user of the nodes.
    fn url(&self) -> &str;
    /// With the user that may make and change streams.
    fn operators_url(&self) -> String;
    /// Copies of each stream.
    fn replicas(&self) -> usize;
    fn client(&self, user: NatsUser) -> impl Future<Output = Client> + Send;
    fn end(self) -> impl Future<Output = ()>;
}

impl Backbone for Nats {
    fn url(&self) -> &str {
        self.url()
    }

    fn operators_url(&self) -> String {
        self.url_of(NatsUser::Operator)
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

    fn operators_url(&self) -> String {
        self.url_of(NatsUser::Operator)
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
