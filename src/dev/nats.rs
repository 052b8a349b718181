//! A private nats-server, set up exactly as `deploy/nats.conf` sets up a real one, or `deploy/cluster.conf` one of
//! several.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectError, ConnectOptions};

use crate::dev::{
    DevError, Tools,
    folder::{PRIVATE, READABLE},
    home::{Home, PASSWORDS},
    process::{EndBy, POLL, Process, command, end_stale},
    secret::new_password,
    start::start,
};

const ALONE: &str = include_str!("../../deploy/nats.conf");
const IN_A_CLUSTER: &str = include_str!("../../deploy/cluster.conf");
const INCLUDED: &str = include_str!("../../deploy/log.conf");
const CLUSTER: &str = "cluster {";
const SYNC_ALWAYS: &str = "sync_interval: always";

/// The options that a test may change.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatsOptions {
    /// Acknowledge before the disk has it, as an unconfigured nats-server does.
    pub weak_sync: bool,
    /// The most bytes of a message, where it is not what nats-server takes by itself.
    pub max_payload: Option<usize>,
    /// In a cluster, clients are not told where the other servers are, so that they keep to the network that
    /// a test has put between.
    pub no_advertise: bool,
}

/// The users of `deploy/log.conf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsUser {
    /// Our nodes.
    Verbatim,
    /// A person who may do everything in the account of the log.
    Operator,
    /// A microservice: reads through its durable `reader`, with API prefix `log.api` and inbox `_INBOX_reader`.
    Reader,
    /// The system account.
    System,
}

impl NatsUser {
    const ALL: [Self; 4] = [Self::Verbatim, Self::Operator, Self::Reader, Self::System];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Operator => "operator",
            Self::Reader => "reader",
            Self::System => "sys",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Verbatim => "VERBATIM_NATS_PASSWORD",
            Self::Operator => "VERBATIM_NATS_OPERATOR_PASSWORD",
            Self::Reader => "VERBATIM_NATS_READER_PASSWORD",
            Self::System => "VERBATIM_NATS_SYS_PASSWORD",
        }
    }
}

/// A running nats-server. It ends when this is dropped.
#[derive(Debug)]
pub struct Nats {
    setup: Setup,
    port: u16,
    url: String,
    process: Process,
}

/// Starts a nats-server on the data in `dir`, or on new data, and returns when it has accepted a client; at most
/// 30 s. Its passwords are made at the first start and kept in `dir`.
/// `dir` belongs to one process at a time: a server that an earlier one left there is ended first.
pub async fn start_nats(tools: &Tools, dir: &Path, options: NatsOptions) -> Result<Nats, DevError> {
    let home = Home::open(dir)?;
    end_stale(&home, EndBy::Term).await;
    let passwords = passwords(&home)?;
    let setup = Setup { program: tools.nats_server.clone(), home, passwords, options, member: None };
    Nats::start(setup).await
}

impl Nats {
    pub(super) async fn start(setup: Setup) -> Result<Self, DevError> {
        let (port, process) = setup.start(None).await?;
        let url = setup.url(NatsUser::Verbatim, port);
        Ok(Self { setup, port, url, process })
    }

    /// Where Verbatim connects to, with its user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where `user` connects to, with its password.
    pub fn url_of(&self, user: NatsUser) -> String {
        self.setup.url(user, self.port)
    }

    /// Connects as `user`, with its inbox. (async-nats passes over the password in a URL.)
    pub async fn connect(&self, user: NatsUser) -> Result<Client, ConnectError> {
        self.setup.connect(user, self.port).await
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn password(&self, user: NatsUser) -> &str {
        self.setup.password(user)
    }

    pub(super) fn failed(&self, why: String) -> DevError {
        self.process.failed("nats-server", why)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sets the options for the next start.
    pub fn options(&mut self) -> &mut NatsOptions {
        &mut self.setup.options
    }

    /// Kills it, as a crash would; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Ends it in good order; returns when it is gone.
    pub fn term(&mut self) {
        self.process.end();
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub fn freeze(&mut self) {
        self.process.freeze(true);
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.process.freeze(false);
    }

    /// Has it hand over what it leads, send its clients away and end, as before maintenance; returns when it is
    /// gone, or after a minute.
    pub async fn lame_duck(&mut self) {
        self.process.lame_duck();
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.process.ended().is_none() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts it again on the same port and data, after ending it if it still runs.
    pub async fn start_again(&mut self) -> Result<(), DevError> {
        self.process.end();
        (_, self.process) = self.setup.start(Some(self.port)).await?;
        Ok(())
    }

    /// Has it meet the servers at these routes only, with another password, and starts it again.
    pub(super) async fn join(&mut self, routes: &[String], password: &str) -> Result<(), DevError> {
        if let Some(member) = &mut self.setup.member {
            member.routes = routes.to_vec();
            password.clone_into(&mut member.password);
        }
        self.start_again().await
    }

    /// Where the others connect to it.
    pub(super) fn route(&self, password: &str) -> String {
        let port = self.setup.member.as_ref().map_or(0, |member| member.port);
        format!("nats-route://node:{password}@127.0.0.1:{port}")
    }

    /// Ends it without blocking the thread.
    pub async fn stop(self) {
        // It cannot fail: ending a process does not panic.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

/// The options of every start of a server.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) program: PathBuf,
    pub(super) home: Home,
    pub(super) passwords: Vec<(NatsUser, String)>,
    pub(super) options: NatsOptions,
    pub(super) member: Option<Member>,
}

/// The place of a server in a cluster.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The port for the other servers of the cluster.
    pub(super) port: u16,
    /// Where all of them are, with the password of the routes.
    pub(super) routes: Vec<String>,
    pub(super) password: String,
}

impl Setup {
    async fn start(&self, port: Option<u16>) -> Result<(u16, Process), DevError> {
        let included = match self.options.weak_sync {
            true => INCLUDED.replace(SYNC_ALWAYS, "sync_interval: \"2m\""),
            false => INCLUDED.into(),
        };
        let mut text = String::from(if self.member.is_some() { IN_A_CLUSTER } else { ALONE });
        if self.options.no_advertise {
            text = text.replace(CLUSTER, &format!("{CLUSTER}\n  no_advertise: true"));
        }
        if let Some(bytes) = self.options.max_payload {
            text.push_str(&format!("\nmax_payload: {bytes}\n"));
        }
        // Without a password in them: its user may read them.
        self.home.folder.write("nats.conf", &text, READABLE)?;
        self.home.folder.write("log.conf", &included, READABLE)?;
        let answers = |port| {
            let connected = self.connect(NatsUser::Verbatim, port);
            async { connected.await.map(drop).map_err(|error| error.to_string()) }
        };
        start("nats-server", port, |port| self.launch(port), answers).await
    }

    fn launch(&self, port: u16) -> Result<Process, DevError> {
        let data = self.home.data()?;
        let mut server = command(&self.program);
        server.arg("-c").arg(self.home.folder.path.join("nats.conf"));
        server.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        // As a value of the configuration's language; its strings escape as Rust's do, for what paths hold.
        server.env("VERBATIM_NATS_DIR", format!("{data:?}"));
        server.envs(self.passwords.iter().map(|(user, password)| (user.variable(), password)));
        if let Some(member) = &self.member {
            server.env("VERBATIM_NATS_NAME", format!("{:?}", member.name));
            server.env("VERBATIM_NATS_LISTEN", format!("\"127.0.0.1:{port}\""));
            server.env("VERBATIM_NATS_CLUSTER_LISTEN", format!("\"127.0.0.1:{}\"", member.port));
            server.env("VERBATIM_NATS_CLUSTER_PASSWORD", &member.password);
            server.env("VERBATIM_NATS_ROUTES", format!("{:?}", member.routes));
        }
        Process::start(server, &self.home, "nats.log", EndBy::Term)
    }

    fn connect(
        &self,
        user: NatsUser,
        port: u16,
    ) -> impl Future<Output = Result<Client, ConnectError>> + use<> {
        ConnectOptions::with_user_and_password(user.name().into(), self.password(user).into())
            .custom_inbox_prefix(format!("_INBOX_{}", user.name()))
            .connect(format!("127.0.0.1:{port}"))
    }

    fn url(&self, user: NatsUser, port: u16) -> String {
        format!("nats://{}:{}@127.0.0.1:{port}", user.name(), self.password(user))
    }

    fn password(&self, user: NatsUser) -> &str {
        self.passwords.iter().find(|known| known.0 == user).map_or("", |known| &known.1)
    }
}

/// The passwords of this folder, one line for each user; made at the first start.
pub(super) fn passwords(home: &Home) -> Result<Vec<(NatsUser, String)>, DevError> {
    if home.folder.read(PASSWORDS)?.is_none() {
        let lines = NatsUser::ALL.map(|user| format!("{}={}\n", user.variable(), new_password()));
        home.folder.write(PASSWORDS, &lines.concat(), PRIVATE)?;
    }
    let kept = home.folder.read(PASSWORDS)?.unwrap_or_default();
    let of = |user: NatsUser| {
        kept.lines()
            .find_map(|line| Some((user, line.strip_prefix(user.variable())?.strip_prefix('=')?.into())))
    };
    Ok(NatsUser::ALL.into_iter().filter_map(of).collect())
}
