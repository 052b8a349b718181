//! A nats-server that a test may kill, freeze and restart.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectError};
use verbatim::dev::{self, DevError, NatsUser, Tools};

use super::signals::{POLL, end, kill, pid_of, signal};

const IN_A_CLUSTER: &str = include_str!("../../deploy/cluster.conf");
const CLUSTER: &str = "cluster {";
const SYNC_ALWAYS: &str = "sync_interval: always";
/// How long a server may take to send its clients away.
const LEAVE_DEADLINE: Duration = Duration::from_secs(60);

/// How the server differs from the server of `verbatim dev`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsOptions {
    /// Acknowledge before the disk has it, as an unconfigured nats-server does.
    pub weak_sync: bool,
    /// The most bytes of a message, where it is not what nats-server takes by itself.
    pub max_payload: Option<usize>,
    /// In a cluster, clients are not told where the other servers are, so that they keep to the network that
    /// a test has put between.
    pub no_advertise: bool,
    /// Users log in by `.creds` files, as in `verbatim dev`, and not by passwords.
    pub operator_mode: bool,
}

/// A nats-server. It ends when this is dropped.
#[derive(Debug)]
pub struct Nats {
    tools: Tools,
    dir: PathBuf,
    options: NatsOptions,
    member: Option<Member>,
    server: dev::Nats,
}

/// The place of a server in a cluster.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// The port for the other servers of the cluster.
    pub(super) port: u16,
    /// Where all of them are, with the password of the routes.
    pub(super) routes: Vec<String>,
    pub(super) password: String,
    /// The passwords of the users, which all servers of the cluster share.
    pub(super) passwords: Vec<(&'static str, String)>,
}

/// Starts a nats-server as [`dev::start_nats`] does.
pub async fn start_nats(tools: &Tools, dir: &Path, options: NatsOptions) -> Result<Nats, DevError> {
    start(tools, dir, options, None).await
}

pub(super) async fn start(
    tools: &Tools,
    dir: &Path,
    options: NatsOptions,
    member: Option<Member>,
) -> Result<Nats, DevError> {
    let server = dev::start_nats(tools, dir, set_up(options, member.as_ref(), None)).await?;
    Ok(Nats { tools: tools.clone(), dir: dir.to_owned(), options, member, server })
}

fn set_up(options: NatsOptions, member: Option<&Member>, port: Option<u16>) -> dev::NatsOptions {
    let accounts = match options.operator_mode {
        true => dev::Accounts::Operator,
        false => dev::Accounts::Passwords,
    };
    let mut server = dev::NatsOptions { port, accounts, ..Default::default() };
    if let Some(member) = member {
        server.config = IN_A_CLUSTER.into();
        server.variables = vec![
            ("VERBATIM_NATS_NAME", format!("{:?}", member.name)),
            // The port of the command line counts.
            ("VERBATIM_NATS_LISTEN", "\"127.0.0.1:4222\"".into()),
            ("VERBATIM_NATS_CLUSTER_LISTEN", format!("\"127.0.0.1:{}\"", member.port)),
            ("VERBATIM_NATS_CLUSTER_PASSWORD", member.password.clone()),
            ("VERBATIM_NATS_ROUTES", format!("{:?}", member.routes)),
        ];
        server.variables.extend(member.passwords.iter().cloned());
    }
    if options.weak_sync {
        server.log_config = server.log_config.replace(SYNC_ALWAYS, "sync_interval: \"2m\"");
    }
    if options.no_advertise {
        server.config = server.config.replace(CLUSTER, &format!("{CLUSTER}\n  no_advertise: true"));
    }
    if let Some(bytes) = options.max_payload {
        server.config.push_str(&format!("\nmax_payload: {bytes}\n"));
    }
    server
}

impl Nats {
    /// Where Verbatim connects to, with its user and password.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Where `user` connects to, with its password.
    pub fn url_of(&self, user: NatsUser) -> String {
        self.server.url_of(user)
    }

    /// How `user` reaches the log.
    pub fn servers_of(&self, user: NatsUser) -> verbatim::log::NatsServers {
        self.logged_in(self.url_of(user).into(), user)
    }

    /// Servers with the log-in of `user`, where their URLs have none.
    pub(super) fn logged_in(
        &self,
        servers: verbatim::log::NatsServers,
        user: NatsUser,
    ) -> verbatim::log::NatsServers {
        match self.credentials(user) {
            Some(creds) => servers.with_credentials(&creds),
            None => servers,
        }
    }

    pub(super) fn credentials(&self, user: NatsUser) -> Option<String> {
        self.server.credentials(user).expect("the file can be read")
    }

    /// The settings by which a process of Verbatim logs in, besides the URLs of the nodes; `operators` is where an
    /// operator connects to.
    pub fn settings(&self, operators: String) -> Vec<(&'static str, String)> {
        if !self.options.operator_mode {
            return vec![("VERBATIM_NATS_OPERATOR_URL", operators)];
        }
        let file = |name| self.server.folder().join(name).display().to_string();
        vec![
            ("VERBATIM_NATS_CREDENTIALS_FILE", file("verbatim.creds")),
            ("VERBATIM_NATS_OPERATOR_CREDENTIALS_FILE", file("operator.creds")),
            ("VERBATIM_NATS_SYS_CREDENTIALS_FILE", file("sys.creds")),
            ("VERBATIM_NATS_OPERATOR_KEY_FILE", file("operator-signing.nk")),
            ("VERBATIM_CONSUMERS_KEY_FILE", file("consumers.key")),
        ]
    }

    /// The folder with the keys and `.creds` files of the accounts.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Connects as `user`, with its inbox.
    pub async fn connect(&self, user: NatsUser) -> Result<Client, ConnectError> {
        self.server.connect(user).await
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Sets the options for the next start.
    pub fn options(&mut self) -> &mut NatsOptions {
        &mut self.options
    }

    /// Kills it, as a crash would; returns when it is gone.
    pub fn kill9(&mut self) {
        kill(self.pid(), || self.server.ended());
    }

    /// Ends it in good order; returns when it is gone.
    pub fn term(&mut self) {
        end(self.pid(), "TERM", || self.server.ended());
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&mut self) {
        self.tell("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.tell("CONT");
    }

    /// Has it hand over what it leads, send its clients away and end, as before maintenance; returns when it is
    /// gone, or after a minute.
    pub async fn lame_duck(&mut self) {
        self.tell("USR2");
        let deadline = Instant::now() + LEAVE_DEADLINE;
        while self.server.ended().is_none() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    fn tell(&mut self, name: &str) {
        if self.server.ended().is_none() {
            signal(name, &[pid_of(self.pid())]);
        }
    }

    /// Starts it again on the same port and data, after ending it if it still runs.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.term();
        let options = set_up(self.options, self.member.as_ref(), Some(self.server.port()));
        self.server = dev::start_nats(&self.tools, &self.dir, options).await?;
        Ok(())
    }

    /// Has it meet the servers at these routes only, with another password, and starts it again.
    pub(super) async fn join(&mut self, routes: &[String], password: &str) -> Result<(), DevError> {
        if let Some(member) = &mut self.member {
            member.routes = routes.to_vec();
            password.clone_into(&mut member.password);
        }
        self.start_again().await
    }

    /// Where the others connect to it.
    pub(super) fn route(&self, password: &str) -> String {
        route(self.member.as_ref().map_or(0, |member| member.port), password)
    }

    /// Ends it without blocking the thread.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

pub(super) fn route(port: u16, password: &str) -> String {
    format!("nats-route://node:{password}@127.0.0.1:{port}")
}
