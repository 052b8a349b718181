//! A Postgres that a test may kill, freeze and restart.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use tokio::process::Command;
use verbatim::dev::{self, DevError, Tools};

use super::signals::{children_of, end, kill, pid_of, signal_all};

const LOOPBACK: &str = "127.0.0.1";

/// How the server differs from the server of `verbatim dev`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresOptions {
    /// Fast but not durable: the data survives a crash of the server, but not of the machine. The owner needs no
    /// password, and there can be 300 connections instead of 100.
    pub fsync_off: bool,
    /// Also listens on this address, for a network that only a test has. Otherwise only on loopback.
    pub also_at: Option<IpAddr>,
}

/// A Postgres server. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    tools: Tools,
    dir: PathBuf,
    options: PostgresOptions,
    server: dev::Postgres,
}

/// Starts a Postgres as [`dev::start_postgres`] does.
pub async fn start_postgres(
    tools: &Tools,
    dir: &Path,
    options: PostgresOptions,
) -> Result<Postgres, DevError> {
    let server = dev::start_postgres(tools, dir, set_up(dir, options, None)).await?;
    Ok(Postgres { tools: tools.clone(), dir: dir.to_owned(), options, server })
}

fn set_up(dir: &Path, options: PostgresOptions, port: Option<u16>) -> dev::PostgresOptions {
    let mut settings = Vec::new();
    // The hashes of SCRAM take a fifth of the start-up time of a node that is compiled without optimisation. Even
    // checking a password in plain text is half of what a connection costs the server. Dev mode keeps the hashes.
    let owner = if options.fsync_off { "trust" } else { "scram-sha-256" };
    let rule = |network: &str| {
        format!("host all,replication verbatim {network} {owner}\nhost all all {network} scram-sha-256\n")
    };
    let mut rules = rule(&format!("{LOOPBACK}/32"));
    if options.fsync_off {
        settings.extend(["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name, "off".into())));
        settings.push(("max_connections", "300".into()));
    }
    if let Some(address) = options.also_at {
        settings.push(("listen_addresses", format!("{LOOPBACK},{address}")));
        rules += &rule(&format!("{address}/24"));
    }
    // The file is beside the folder, because only the owner of the folder may write there.
    let file = dir.with_extension("hba.conf");
    fs::write(&file, rules).expect("the rules of the connections");
    settings.push(("hba_file", file.display().to_string()));
    dev::PostgresOptions { settings, port }
}

impl Postgres {
    /// Starts a streaming replica on a copy of the data in another folder. This server is stopped during the copy,
    /// because not every Postgres comes with `pg_basebackup`.
    pub async fn replica(&mut self, dir: &Path) -> Result<Self, DevError> {
        self.freeze(false);
        end(self.pid(), "INT", || self.server.ended());
        let copied = Command::new("cp").arg("-a").args([&self.dir, dir]).status().await;
        assert!(copied.expect("cp runs").success());
        fs::write(dir.join("data/standby.signal"), "").expect("the mark of a replica");
        self.start_again().await?;
        let mut options = set_up(dir, self.options, None);
        options.settings.push(("primary_conninfo", self.url().to_owned()));
        let server = dev::start_postgres(&self.tools, dir, options).await?;
        Ok(Self { tools: self.tools.clone(), dir: dir.to_owned(), options: self.options, server })
    }

    /// The URL of the database `verbatim`, with user and password. The user is a superuser.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The URL of another database on this server.
    pub fn url_of(&self, database: &str) -> String {
        self.url().replace("/verbatim?", &format!("/{database}?"))
    }

    /// The URL of the database `verbatim` at the other address on which the server listens.
    pub fn url_at(&self, address: IpAddr) -> String {
        self.url().replace(&format!("@{LOOPBACK}:"), &format!("@{address}:"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Freezes the server and all its sessions, like a machine that hangs, or lets them continue. The server is frozen
    /// first and continues last, so that it starts no session in between.
    pub fn freeze(&mut self, frozen: bool) {
        if self.server.ended().is_some() {
            return;
        }
        let pid = self.pid();
        if frozen {
            signal_all("STOP", &[pid_of(pid)]);
        }
        let sessions = children_of(pid);
        if !sessions.is_empty() {
            signal_all(if frozen { "STOP" } else { "CONT" }, &sessions);
        }
        if !frozen {
            signal_all("CONT", &[pid_of(pid)]);
        }
    }

    /// Kills the server, like a crash. Returns when it is gone.
    pub fn kill9(&mut self) {
        self.freeze(false);
        kill(self.pid(), || self.server.ended());
    }

    /// Restarts the server on the same port and data.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.freeze(false);
        end(self.pid(), "INT", || self.server.ended());
        let options = set_up(&self.dir, self.options, Some(self.server.port()));
        self.server = dev::start_postgres(&self.tools, &self.dir, options).await?;
        Ok(())
    }

    /// Stops the server without blocking the thread.
    pub async fn stop(self) {
        // This cannot fail, because stopping a process does not panic.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

impl Drop for Postgres {
    /// Frozen sessions could not exit, so they continue first.
    fn drop(&mut self) {
        self.freeze(false);
    }
}
