//! A private nats-server, with the configuration of a real one: `deploy/nats.conf`.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

use async_nats::{Client, ConnectError, ConnectOptions};

use crate::{
    authority::{CONSUMERS_KEY, ERASER, NODE, OPERATOR, OPERATOR_KEY, SYSTEM},
    dev::{
        DevError, Tools, accounts,
        folder::{PRIVATE, READABLE},
        home::{DATA, Home, PASSWORDS},
        process::{EndBy, Process, command, end_stale},
        secret::new_password,
        start::start,
    },
};

/// The options of a private nats-server. The default is the server of `verbatim dev`.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// The configuration: `deploy/nats.conf`.
    pub config: String,
    /// The file `log.conf` that the configuration includes: `deploy/log.conf`.
    pub log_config: String,
    /// How users authenticate.
    pub accounts: Accounts,
    /// Variables of the configuration, besides the data folder and the passwords. A password in this list
    /// overrides the password that the folder keeps.
    pub variables: Vec<(&'static str, String)>,
    /// The port; a free one if it is `None`.
    pub port: Option<u16>,
}

/// How users authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// With `.creds` files, as created by `verbatim nats init`.
    Operator,
    /// With passwords: `deploy/passwords.conf`.
    Passwords,
}

/// The include of the configuration, and the file with passwords that replaces its file.
const INCLUDED: &str = "include \"accounts.conf\"";
const PASSWORDS_CONF: &str = "passwords.conf";

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            config: include_str!("../../deploy/nats.conf").into(),
            log_config: include_str!("../../deploy/log.conf").into(),
            accounts: Accounts::Operator,
            variables: Vec::new(),
            port: None,
        }
    }
}

/// The users of `deploy/passwords.conf`; all but the reader are users in operator mode, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsUser {
    /// The nodes of Verbatim.
    Verbatim,
    /// The eraser, which may delete from the log.
    Eraser,
    /// An operator, who may do everything in the account of the log.
    Operator,
    /// A microservice: reads through its durable `reader`, with API prefix `log.api` and inbox `_INBOX_reader`.
    Reader,
    /// The user of the system account.
    System,
}

impl NatsUser {
    /// All users.
    pub const ALL: [Self; 5] = [Self::Verbatim, Self::Eraser, Self::Operator, Self::Reader, Self::System];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Eraser => "eraser",
            Self::Operator => "operator",
            Self::Reader => "reader",
            Self::System => "sys",
        }
    }

    /// The file with which the user logs in to a server in operator mode. The reader has no such file, because in
    /// operator mode readers are consumers.
    fn file(self) -> Option<&'static str> {
        match self {
            Self::Verbatim => Some(NODE),
            Self::Eraser => Some(ERASER),
            Self::Operator => Some(OPERATOR),
            Self::Reader => None,
            Self::System => Some(SYSTEM),
        }
    }

    /// The variable of the configuration that holds the user's password.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Verbatim => "VERBATIM_NATS_PASSWORD",
            Self::Eraser => "VERBATIM_NATS_ERASER_PASSWORD",
            Self::Operator => "VERBATIM_NATS_OPERATOR_PASSWORD",
            Self::Reader => "VERBATIM_NATS_READER_PASSWORD",
            Self::System => "VERBATIM_NATS_SYS_PASSWORD",
        }
    }
}

/// A running nats-server. Dropping this value stops the server.
#[derive(Debug)]
pub struct Nats {
    setup: Setup,
    port: u16,
    url: String,
    process: Process,
}

/// Starts a nats-server on the data in `dir`, or on new data, and returns when the server has accepted a client. Fails
/// after 30 s. The first start generates the passwords and stores them in `dir`. `dir` belongs to one process at a
/// time, so a server that an earlier process left there is stopped first.
pub async fn start_nats(tools: &Tools, dir: &Path, options: NatsOptions) -> Result<Nats, DevError> {
    let home = Home::open(dir)?;
    end_stale(&home, EndBy::Term).await;
    let passwords = passwords(&home)?;
    if options.accounts == Accounts::Operator {
        accounts::make(&home.folder)?;
        accounts::adopt_streams(&home.folder, DATA)?;
    }
    let setup = Setup { program: tools.nats_server.clone(), home, passwords, options };
    let (port, process) = setup.start().await?;
    let url = setup.url(NatsUser::Verbatim, port);
    Ok(Nats { setup, port, url, process })
}

impl Nats {
    /// The URL for Verbatim, with user and password if there are passwords.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL for `user`, with its password if there are passwords.
    pub fn url_of(&self, user: NatsUser) -> String {
        self.setup.url(user, self.port)
    }

    /// The text of the `.creds` file of `user`, if users log in by such files.
    pub fn credentials(&self, user: NatsUser) -> Result<Option<String>, DevError> {
        self.setup.credentials(user)
    }

    /// The texts of the key that signs consumers, and of the operator's key, which signs accounts.
    pub fn keys(&self) -> Result<Option<(String, String)>, DevError> {
        let read = |name| self.setup.home.folder.read(name);
        Ok(read(CONSUMERS_KEY)?.zip(read(OPERATOR_KEY)?))
    }

    /// The folder with the `.creds` files and the keys of the accounts.
    pub fn folder(&self) -> &Path {
        &self.setup.home.folder.path
    }

    /// Connects as `user`, with its inbox prefix. (async-nats ignores the password in a URL.)
    pub async fn connect(&self, user: NatsUser) -> Result<Client, ConnectError> {
        self.setup.connect(user, self.port).await
    }

    /// The port of the clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The exit status, if the server has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Stops the server without blocking the thread.
    pub async fn stop(self) {
        // The task cannot fail: stopping a process does not panic.
        drop(tokio::task::spawn_blocking(move || drop(self)).await);
    }
}

#[derive(Debug)]
struct Setup {
    program: PathBuf,
    home: Home,
    passwords: Vec<(NatsUser, String)>,
    options: NatsOptions,
}

impl Setup {
    async fn start(&self) -> Result<(u16, Process), DevError> {
        // The files contain no password, so the server's user may read them.
        self.home.folder.write("nats.conf", &self.options.config, READABLE)?;
        let mut log_config = self.options.log_config.clone();
        if self.options.accounts == Accounts::Passwords {
            log_config = log_config.replace(INCLUDED, &format!("include \"{PASSWORDS_CONF}\""));
            let passwords = include_str!("../../deploy/passwords.conf");
            self.home.folder.write(PASSWORDS_CONF, passwords, READABLE)?;
        }
        self.home.folder.write("log.conf", &log_config, READABLE)?;
        let answers = |port| {
            let connected = self.connect(NatsUser::Verbatim, port);
            async { connected.await.map(drop).map_err(|error| error.to_string()) }
        };
        start("nats-server", self.options.port, |port| self.launch(port), answers).await
    }

    fn launch(&self, port: u16) -> Result<Process, DevError> {
        let data = self.home.data()?;
        let mut server = command(&self.program);
        server.arg("-c").arg(self.home.folder.path.join("nats.conf"));
        server.args(["-a", "127.0.0.1", "-p", &port.to_string()]);
        // The value is a string literal of the configuration language, which escapes the characters of paths like Rust.
        server.env("VERBATIM_NATS_DIR", format!("{data:?}"));
        server.env("VERBATIM_NATS_JWT_DIR", format!("{:?}", data.join("accounts")));
        server.envs(self.passwords.iter().map(|(user, password)| (user.variable(), password)));
        server.envs(self.options.variables.iter().map(|(name, value)| (name, value)));
        Process::start(server, &self.home, "nats.log", EndBy::Term)
    }

    fn connect(
        &self,
        user: NatsUser,
        port: u16,
    ) -> impl Future<Output = Result<Client, ConnectError>> + use<> {
        let options = match self.credentials(user).ok().flatten() {
            Some(creds) => ConnectOptions::with_credentials(&creds).unwrap_or_default(),
            None => ConnectOptions::with_user_and_password(user.name().into(), self.password(user).into()),
        };
        options.custom_inbox_prefix(format!("_INBOX_{}", user.name())).connect(format!("127.0.0.1:{port}"))
    }

    fn credentials(&self, user: NatsUser) -> Result<Option<String>, DevError> {
        match (self.options.accounts, user.file()) {
            (Accounts::Operator, Some(file)) => self.home.folder.read(file),
            _ => Ok(None),
        }
    }

    fn url(&self, user: NatsUser, port: u16) -> String {
        if self.options.accounts == Accounts::Operator {
            return format!("nats://127.0.0.1:{port}");
        }
        format!("nats://{}:{}@127.0.0.1:{port}", user.name(), self.password(user))
    }

    fn password(&self, user: NatsUser) -> &str {
        let given = self.options.variables.iter().find(|(name, _)| *name == user.variable());
        let kept = || self.passwords.iter().find(|(known, _)| *known == user).map(|(_, password)| password);
        given.map(|(_, password)| password).or_else(kept).map_or("", String::as_str)
    }
}

/// The passwords of this folder, one line for each user. The first start with a user adds its line.
fn passwords(home: &Home) -> Result<Vec<(NatsUser, String)>, DevError> {
    let mut lines: Vec<String> =
        home.folder.read(PASSWORDS)?.unwrap_or_default().lines().map(str::to_owned).collect();
    let kept = lines.len();
    let mut passwords = Vec::new();
    for user in NatsUser::ALL {
        let of_user = |line: &String| Some(line.strip_prefix(user.variable())?.strip_prefix('=')?.to_owned());
        let password = lines.iter().find_map(of_user).unwrap_or_else(|| {
            let made = new_password();
            lines.push(format!("{}={made}", user.variable()));
            made
        });
        passwords.push((user, password));
    }
    if lines.len() > kept {
        home.folder.write(PASSWORDS, &(lines.join("\n") + "\n"), PRIVATE)?;
    }
    Ok(passwords)
}
