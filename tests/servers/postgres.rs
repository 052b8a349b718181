//! A Postgres that a test may kill, freeze and restart.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use tokio::process::Command;
use verbatim::dev::{self, DevError, Tools};

use super::signals::{children_of, end, kill, pid_of, signal};

const LOOPBACK: &str = "127.0.0.1";

/// How the server differs from the server of `verbatim dev`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresOptions {
    /// Fast and fragile: data survive a crash of the server but not of the machine, and its owner needs no password.
    /// 300 connections, not 100.
    pub fsync_off: bool,
    /// Listens at this address too, for a network that only a test has. Loopback alone otherwise.
    pub also_at: Option<IpAddr>,
}

/// A Postgres. It ends when this is dropped.
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
    // The hashes of SCRAM are a fifth of the start of a node that is compiled without optimisation, and a password that
    // comes as it is costs the server half of what a connection costs it. Dev mode keeps the hashes.
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
    // Beside the folder, of which only its owner may write the files.
    let file = dir.with_extension("hba.conf");
    fs::write(&file, rules).expect("the rules of the connections");
    settings.push(("hba_file", file.display().to_string()));
    dev::PostgresOptions { settings, port }
}

impl Postgres {
    /// A replica of it by streaming replication, on a copy of its data in another folder. It is stopped meanwhile, so nobody
    /// needs `pg_basebackup`, which not every Postgres comes with.
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

    /// The database `verbatim`, with user and password. The user is a superuser.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Another database of the cluster.
    pub fn url_of(&self, database: &str) -> String {
        self.url().replace("/verbatim?", &format!("/{database}?"))
    }

    /// The database `verbatim`, as it is reached at the other address that it listens at.
    pub fn url_at(&self, address: IpAddr) -> String {
        self.url().replace(&format!("@{LOOPBACK}:"), &format!("@{address}:"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Stops it with all its sessions where they are, as a machine that hangs; or lets it go on. The server goes
    /// first and comes back last, so that it starts no session meanwhile.
    pub fn freeze(&mut self, frozen: bool) {
        if self.server.ended().is_some() {
            return;
        }
        let pid = self.pid();
        if frozen {
            signal("STOP", &[pid_of(pid)]);
        }
        let sessions = children_of(pid);
        if !sessions.is_empty() {
            signal(if frozen { "STOP" } else { "CONT" }, &sessions);
        }
        if !frozen {
            signal("CONT", &[pid_of(pid)]);
        }
    }

    /// Kills it, as a crash would; returns when it is gone.
    pub fn kill9(&mut self) {
        self.freeze(false);
        kill(self.pid(), || self.server.ended());
    }

    /// Starts it again on the same port and data, after ending it if it still runs.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.freeze(false);
        end(self.pid(), "INT", || self.server.ended());
        let options = set_up(&self.dir, self.options, Some(self.server.port()));
        self.server = dev::start_postgres(&self.tools, &self.dir, options).await?;
        Ok(())
    }

    /// Ends it without blocking the thread.
    pub async fn stop(self) {
        // It cannot fail: ending a process does not panic.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

impl Drop for Postgres {
    /// A session that is frozen could not be ended.
    fn drop(&mut self) {
        self.freeze(false);
    }
}
