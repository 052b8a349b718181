//! The servers of a story's log: one nats-server, or a cluster.

use std::path::Path;

use async_nats::Client;
use verbatim::{dev::NatsUser, log::NatsServers};

use crate::servers::{Cluster, Nats};

/// The servers of the log, as nodes and stories use them.
pub trait Backbone: Sync {
    /// The URL with the user of the nodes.
    fn url(&self) -> &str;
    /// The URL with another user.
    fn url_of(&self, user: NatsUser) -> String;
    /// The servers, with the login of a user.
    fn servers_of(&self, user: NatsUser) -> NatsServers;
    /// The settings for the login of the program, besides the URL of the nodes.
    fn settings(&self) -> Vec<(&'static str, String)>;
    /// Copies of each stream.
    fn replicas(&self) -> usize;
    /// The folder with the keys and `.creds` files of operator mode.
    fn folder(&self) -> &Path;
    /// The processes of the servers.
    fn pids(&self) -> Vec<u32>;
    fn client(&self, user: NatsUser) -> impl Future<Output = Client> + Send;
    fn end(self) -> impl Future<Output = ()>;
}

impl Backbone for Nats {
    fn url(&self) -> &str {
        self.url()
    }

    fn url_of(&self, user: NatsUser) -> String {
        self.url_of(user)
    }

    fn servers_of(&self, user: NatsUser) -> NatsServers {
        self.servers_of(user)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings(self.url_of(NatsUser::Operator))
    }

    fn replicas(&self) -> usize {
        1
    }

    fn folder(&self) -> &Path {
        self.folder()
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.pid()]
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

    fn url_of(&self, user: NatsUser) -> String {
        self.url_of(user)
    }

    fn servers_of(&self, user: NatsUser) -> NatsServers {
        self.servers_of(user)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings()
    }

    fn replicas(&self) -> usize {
        3
    }

    fn folder(&self) -> &Path {
        self.folder()
    }

    fn pids(&self) -> Vec<u32> {
        self.pids()
    }

    async fn client(&self, user: NatsUser) -> Client {
        self.connect(user).await.expect("NATS")
    }

    async fn end(self) {
        self.stop().await;
    }
}
