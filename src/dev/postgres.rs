//! A private Postgres cluster with one database `verbatim`, owned by its one user `verbatim`.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use sqlx::{Connection, PgConnection};

use crate::dev::{
    DevError, Tools,
    error::cannot_use,
    folder::PRIVATE,
    home::{BEFORE, DATA, Home, PASSWORDS},
    process::{EndBy, POLL, Process, command, end_stale},
    secret::new_password,
    start::start,
};

const SERVER: &str = "Postgres";
const LOG: &str = "postgres.log";
const LOOPBACK: &str = "127.0.0.1";
/// The maximum length of the folder of a socket. On every system, a socket path of 104 bytes is allowed, including its
/// name and a terminating NUL.
const SOCKET_DIR_MAX: usize = 104 - "/.s.PGSQL.65535\0".len();

/// The options of a private Postgres. The default is the server of `verbatim dev`.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Settings as `postgres -c` takes them. They override the settings of this module.
    pub settings: Vec<(&'static str, String)>,
    /// The port; a free one if it is `None`.
    pub port: Option<u16>,
}

/// A running Postgres. Dropping this value stops the server.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    url: String,
    process: Process,
}

/// Starts a Postgres on the data in `dir`, or on new data, and returns when the server has answered a query. Fails
/// after 30 s plus the time of initdb. The first start generates the password and stores it in `dir`. `dir` belongs to
/// one process at a time, so a server that an earlier process left there is stopped first.
pub async fn start_postgres(
    tools: &Tools,
    dir: &Path,
    options: PostgresOptions,
) -> Result<Postgres, DevError> {
    let home = Home::open(dir)?;
    if home.folder.read(PASSWORDS)?.is_none() {
        let kept = home.folder.read(BEFORE)?.unwrap_or_else(new_password);
        home.folder.write(PASSWORDS, &kept, PRIVATE)?;
    }
    let password = home.folder.read(PASSWORDS)?.unwrap_or_default();
    let setup =
        Setup { bin: tools.postgres_bin.clone(), data: home.folder.path.join(DATA), home, password, options };
    end_stale(&setup.home, EndBy::Interrupt).await;
    setup.initialize().await?;
    let (port, process) = setup.start().await?;
    Ok(Postgres { port, url: setup.url("verbatim", port), process })
}

impl Postgres {
    /// The URL of the database `verbatim`, with user and password. The user is a superuser.
    pub fn url(&self) -> &str {
        &self.url
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
    bin: PathBuf,
    home: Home,
    data: PathBuf,
    password: String,
    options: PostgresOptions,
}

impl Setup {
    /// Creates the cluster if it is missing, in a folder `data.new` that is renamed to `data` at the end. So an
    /// interrupted initdb leaves no incomplete cluster behind.
    async fn initialize(&self) -> Result<(), DevError> {
        if self.data.exists() {
            return Ok(());
        }
        let unfinished = self.home.folder.path.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(cannot_use(&unfinished))?;
        }
        self.home.folder.make("data.new", self.home.user)?;
        self.home.folder.write_for(self.home.user, "pwfile", &self.password, PRIVATE)?;
        let mut initdb = command(self.bin.join("initdb"));
        initdb.arg("-D").arg(&unfinished).arg("--pwfile").arg(self.home.folder.path.join("pwfile"));
        initdb.args(["-N", "-U", "verbatim", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]);
        let mut process = Process::start(initdb, &self.home, LOG, EndBy::Term)?;
        let status = loop {
            match process.ended() {
                Some(status) => break status,
                None => tokio::time::sleep(POLL).await,
            }
        };
        self.home.folder.remove("pwfile")?;
        if !status.success() {
            return Err(process.failed(SERVER, format!("initdb exited with {status}")));
        }
        fs::rename(&unfinished, &self.data).map_err(cannot_use(&self.data))
    }

    async fn start(&self) -> Result<(u16, Process), DevError> {
        let launch = |port| self.launch(port);
        let started = start(SERVER, self.options.port, launch, |port| self.answers(port)).await;
        started.map_err(|error| match error {
            DevError::Server { server, why, log } => {
                DevError::Server { server, why: why + &self.advice(), log }
            }
            other => other,
        })
    }

    /// Advice for the most likely fault: another version of Postgres created the data.
    fn advice(&self) -> String {
        let version = fs::read_to_string(self.data.join("PG_VERSION")).unwrap_or_default();
        format!(
            ". Its data was created by Postgres {}: if {} has another version, set VERBATIM_PG_BIN to the folder of \
             that version, or delete the data folder to start over",
            version.trim(),
            self.bin.join("postgres").display(),
        )
    }

    fn launch(&self, port: u16) -> Result<Process, DevError> {
        let mut server = command(self.bin.join("postgres"));
        server.arg("-D").arg(&self.data).args(["-p", &port.to_string(), "-h", LOOPBACK]);
        // The data folder is the only folder in which Postgres may create a socket.
        let fits = self.data.as_os_str().as_bytes().len() <= SOCKET_DIR_MAX;
        server.arg("-k").arg(if fits { &*self.data } else { Path::new("") });
        for (name, value) in &self.options.settings {
            server.args(["-c", &format!("{name}={value}")]);
        }
        Process::start(server, &self.home, LOG, EndBy::Interrupt)
    }

    /// Sends a query to the database, and creates the database first if the cluster is new.
    async fn answers(&self, port: u16) -> Result<(), String> {
        let ask = async {
            let url = self.url("verbatim", port);
            let mut database = match PgConnection::connect(&url).await {
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("3D000") => {
                    let mut first = PgConnection::connect(&self.url("postgres", port)).await?;
                    sqlx::raw_sql("create database verbatim").execute(&mut first).await?;
                    first.close().await?;
                    PgConnection::connect(&url).await?
                }
                connected => connected?,
            };
            sqlx::raw_sql("select 1").execute(&mut database).await?;
            database.close().await
        };
        ask.await.map_err(|error| error.to_string())
    }

    fn url(&self, database: &str, port: u16) -> String {
        format!("postgres://verbatim:{}@{LOOPBACK}:{port}/{database}?sslmode=disable", self.password)
    }
}
