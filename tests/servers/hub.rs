//! A nats-server for mirrors of the log, in a JetStream domain of its own: `deploy/mirror.conf`.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use async_nats::{Client, ConnectError};
use verbatim::dev::{self, DevError, NatsUser, Tools};

use super::{
    cluster::copy_accounts,
    nats::{SYNC_ALWAYS, SYNC_LATE},
    signals::kill,
};

const CONFIG: &str = include_str!("../../deploy/mirror.conf");
/// The comment in `accounts.conf` before the account of the log.
const ACCOUNT: &str = "# CHAT\n";

/// A server that joins the servers of the log as a leaf node. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Hub {
    tools: Tools,
    dir: PathBuf,
    options: dev::NatsOptions,
    server: dev::Nats,
}

/// Starts a hub on the data in `dir`, or on new data. It has the accounts in the folder `log`, and joins at `port`.
pub async fn start_hub(tools: &Tools, dir: &Path, log: &Path, port: SocketAddr) -> Result<Hub, DevError> {
    copy_accounts(log, dir).expect("the files of the accounts");
    // nats-server may run as another user than we do, and that user has to read this file.
    let credentials = dir.join("leaf.creds");
    fs::copy(log.join("operator.creds"), &credentials).expect("the credentials");
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o644)).expect("own file");
    let accounts = fs::read_to_string(log.join("accounts.conf")).expect("the accounts");
    let account = accounts.split_once(ACCOUNT).and_then(|(_, rest)| rest.trim_start().split_once(':'));
    let options = dev::NatsOptions {
        config: CONFIG.into(),
        variables: vec![
            ("VERBATIM_NATS_LOG_URL", format!("\"nats-leaf://{port}\"")),
            ("VERBATIM_NATS_LOG_ACCOUNT", account.expect("the account of the log").0.to_owned()),
            ("VERBATIM_NATS_LOG_CREDENTIALS", format!("{credentials:?}")),
        ],
        ..dev::NatsOptions::default()
    };
    let server = dev::start_nats(tools, dir, options.clone()).await?;
    Ok(Hub { tools: tools.clone(), dir: dir.to_owned(), options, server })
}

impl Hub {
    /// Connects as `user`.
    pub async fn connect(&self, user: NatsUser) -> Result<Client, ConnectError> {
        self.server.connect(user).await
    }

    /// The folder with its data.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Kills the server, like a crash. Returns when it is gone.
    pub fn kill9(&mut self) {
        kill(self.server.pid(), || self.server.ended());
    }

    /// From its next start on, the server acknowledges before the data is on disk, as nats-server does by default.
    pub fn syncs_late(&mut self) {
        self.options.config = self.options.config.replace(SYNC_ALWAYS, SYNC_LATE);
    }

    /// Restarts the server on its data.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.kill9();
        self.server = dev::start_nats(&self.tools, &self.dir, self.options.clone()).await?;
        Ok(())
    }

    /// Stops the server without blocking the thread.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}
