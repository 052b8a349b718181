//! Copies of the servers' data on disk, which are created, restored and lost as by operators.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{World, servers};
use crate::servers::Cluster;

impl World {
    /// The data of nats-server on disk.
    fn store(&self) -> PathBuf {
        self.dir.path().join("nats/data")
    }

    /// Copies the log while its server is stopped.
    pub async fn copies_the_log(&mut self) -> PathBuf {
        let copy = self.dir.path().join("copy-of-the-log");
        self.nats.term();
        run("cp", &["-a".as_ref(), &self.store(), &copy]).await;
        self.nats.start_again().await.expect("nats-server starts again");
        copy
    }

    /// Replaces the log by a copy.
    pub async fn restores_the_log(&mut self, copy: &Path) {
        self.nats.term();
        run("rm", &["-r".as_ref(), &self.store()]).await;
        run("cp", &["-a".as_ref(), copy, &self.store()]).await;
        self.nats.start_again().await.expect("nats-server starts again");
    }

    /// Deletes all data of nats-server.
    pub async fn loses_the_log(&mut self) {
        self.nats.term();
        run("rm", &["-r".as_ref(), &self.store().join("jetstream")]).await;
        self.nats.start_again().await.expect("nats-server starts again");
    }
}

impl World<Cluster> {
    /// Loses all servers with what they keep, and gets new ones.
    pub async fn loses_the_log(&mut self) {
        let new = servers::cluster(&self.dir.path().join("new"), self.nats.size(), Default::default()).await;
        std::mem::replace(&mut self.nats, new).stop().await;
        run("rm", &["-r".as_ref(), &self.dir.path().join("cluster")]).await;
    }
}

async fn run(program: &str, arguments: &[&Path]) {
    let ended = Command::new(program).args(arguments).status().await;
    assert!(ended.expect("it runs").success(), "{program} {arguments:?}");
}
