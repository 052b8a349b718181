//! A nats-server that a test may kill, freeze and restart.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectError};
use verbatim::dev::{self, DevError, NatsUser, Tools};

use super::signals::{POLL, end, kill, pid_of, signal_all};

const IN_A_CLUSTER: &str = include_str!("../../deploy/cluster.conf");
const CLUSTER: &str = "cluster {";
pub(super) const SYNC_ALWAYS: &str = "sync_interval: always";
pub(super) const SYNC_LATE: &str = "sync_interval: \"2m\"";
const JETSTREAM: &str = "jetstream {";
/// How long a server may take to disconnect its clients.
const LEAVE_DEADLINE: Duration = Duration::from_secs(60);

/// How the server differs from the server of `verbatim dev`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsOptions {
    /// Acknowledges before the data is on disk, as nats-server does by default.
    pub weak_sync: bool,
    /// The maximum size of a message in bytes, if it is not the default of nats-server.
    pub max_payload: Option<usize>,
    /// In a cluster, the servers do not advertise their addresses to clients, so the clients stay on the network that a
    /// test has put in between.
    pub no_advertise: bool,
    /// Users log in with `.creds` files, as in `verbatim dev`, and not with passwords.
    pub operator_mode: bool,
    /// The port at which servers of other JetStream domains join as leaf nodes. The domain of this server is then `log`.
    pub leaf_nodes: Option<u16>,
}

/// A nats-server. It is stopped when this is dropped.
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
    /// The routes to all servers, with the password.
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
            // The port on the command line has precedence.
            ("VERBATIM_NATS_LISTEN", "\"127.0.0.1:4222\"".into()),
            ("VERBATIM_NATS_CLUSTER_LISTEN", format!("\"127.0.0.1:{}\"", member.port)),
            ("VERBATIM_NATS_CLUSTER_PASSWORD", member.password.clone()),
            ("VERBATIM_NATS_ROUTES", format!("{:?}", member.routes)),
        ];
        server.variables.extend(member.passwords.iter().cloned());
    }
    if options.weak_sync {
        server.log_config = server.log_config.replace(SYNC_ALWAYS, SYNC_LATE);
    }
    if options.no_advertise {
        server.config = server.config.replace(CLUSTER, &format!("{CLUSTER}\n  no_advertise: true"));
    }
    if let Some(port) = options.leaf_nodes {
        server.log_config = server.log_config.replace(JETSTREAM, &format!("{JETSTREAM}\n  domain: \"log\""));
        server.config.push_str(&format!("\nleafnodes {{ listen: \"127.0.0.1:{port}\" }}\n"));
    }
    if let Some(bytes) = options.max_payload {
        server.config.push_str(&format!("\nmax_payload: {bytes}\n"));
    }
    server
}

impl Nats {
    /// The URL with the user and the password of Verbatim.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The URL with `user` and its password.
    pub fn url_of(&self, user: NatsUser) -> String {
        self.server.url_of(user)
    }

    /// The server of the log, with the credentials of `user`.
    pub fn servers_of(&self, user: NatsUser) -> verbatim::log::NatsServers {
        self.logged_in(self.url_of(user).into(), user)
    }

    /// Adds the `.creds` of `user` to the servers, if their URLs contain no password.
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

    /// The settings with which a process of Verbatim logs in, besides the URLs for nodes. `operators` is the URL for an
    /// operator.
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

    /// Connects as `user`, with the inbox of that user.
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

    /// Kills the server, like a crash. Returns when it is gone.
    pub fn kill9(&mut self) {
        kill(self.pid(), || self.server.ended());
    }

    /// Stops the server cleanly. Returns when it is gone.
    pub fn term(&mut self) {
        end(self.pid(), "TERM", || self.server.ended());
    }

    /// Freezes the server: connections stay open, and nothing is answered.
    pub fn freeze(&mut self) {
        self.tell("STOP");
    }

    /// Lets a frozen server continue.
    pub fn thaw(&mut self) {
        self.tell("CONT");
    }

    /// Makes the server hand over its leaderships, disconnect its clients and exit, as before maintenance. Returns when
    /// it is gone, or after a minute.
    pub async fn lame_duck(&mut self) {
        self.tell("USR2");
        let deadline = Instant::now() + LEAVE_DEADLINE;
        while self.server.ended().is_none() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    fn tell(&mut self, name: &str) {
        if self.server.ended().is_none() {
            signal_all(name, &[pid_of(self.pid())]);
        }
    }

    /// Restarts the server on the same port and data.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.term();
        let options = set_up(self.options, self.member.as_ref(), Some(self.server.port()));
        self.server = dev::start_nats(&self.tools, &self.dir, options).await?;
        Ok(())
    }

    /// Changes the routes of the server and their password, and restarts it.
    pub(super) async fn join(&mut self, routes: &[String], password: &str) -> Result<(), DevError> {
        if let Some(member) = &mut self.member {
            member.routes = routes.to_vec();
            password.clone_into(&mut member.password);
        }
        self.start_again().await
    }

    /// The route by which other servers connect to this one.
    pub(super) fn route(&self, password: &str) -> String {
        route(self.member.as_ref().map_or(0, |member| member.port), password)
    }

    /// Stops the server without blocking the thread.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

pub(super) fn route(port: u16, password: &str) -> String {
    format!("nats-route://node:{password}@127.0.0.1:{port}")
}
