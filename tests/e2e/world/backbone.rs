//! What the log of a story lies on: one nats-server, or a cluster of them.

use async_nats::Client;
use verbatim::{dev::NatsUser, log::NatsServers};

use crate::servers::{Cluster, Nats};

/// The servers of the log, as nodes and stories use them.
pub trait Backbone: Sync {
    /// With the user of the nodes.
    fn url(&self) -> &str;
    /// With the user that may make and change streams.
    fn operators_url(&self) -> String;
    /// How the operator reaches the log.
    fn operators_servers(&self) -> NatsServers;
    /// The settings by which the program logs in, besides the URL of the nodes.
    fn settings(&self) -> Vec<(&'static str, String)>;
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

    fn operators_servers(&self) -> NatsServers {
        self.servers_of(NatsUser::Operator)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings()
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

    fn operators_servers(&self) -> NatsServers {
        self.url_of(NatsUser::Operator).into()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("VERBATIM_NATS_OPERATOR_URL", self.url_of(NatsUser::Operator))]
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
