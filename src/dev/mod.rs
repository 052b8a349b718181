//! The private servers of dev mode and of the tests: a nats-server and a Postgres on loopback that belong to
//! this process and end with it.

mod cluster;
mod folder;
mod home;
mod nats;
mod postgres;
mod process;
mod start;
mod tools;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use folder::{Folder, PRIVATE};

pub use cluster::{Cluster, start_cluster};
pub use nats::{Nats, NatsOptions, NatsUser, start_nats};
pub use postgres::{Postgres, PostgresOptions, start_postgres};
pub use tools::{Tools, tools};

/// Why the private servers are not there. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The programs could not be found, fetched or run; what the script had to say went to stderr.
    #[error("{0}. VERBATIM_NATS_SERVER and VERBATIM_PG_BIN name other programs")]
    Tools(String),
    /// Another process uses this data folder.
    #[error(
        "{} is in use by another `verbatim dev` (process {process}): stop it, or give this one a folder of \
         its own with VERBATIM_DATA_DIR", data_dir.display()
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// Who uses it, as written in the lock.
        process: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot use {}: {source}. VERBATIM_DATA_DIR names another folder", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Started by root on a system that has no user to run the servers as.
    #[error(
        "as root the servers run as the user `postgres` or `nobody`, and /etc/passwd has neither: add one"
    )]
    NoUser,
    /// A server did not start.
    #[error("{server} did not start: {why}\n{log}")]
    Server {
        /// Which one.
        server: &'static str,
        /// What happened, and what to do where that is known.
        why: String,
        /// The last lines of its log.
        log: String,
    },
}

/// The nats-server and the Postgres of one data folder, which nobody else can use meanwhile.
#[derive(Debug)]
pub struct Servers {
    /// The log.
    pub nats: Nats,
    /// The views.
    pub postgres: Postgres,
    _lock: File,
}

impl Servers {
    /// Starts both on the data in `data_dir`, or on new data if there is none, and writes their addresses and
    /// credentials to `<data_dir>/dev.env`. Returns when both have answered a real request; at most 30 s.
    pub async fn start(tools: &Tools, data_dir: &Path) -> Result<Self, DevError> {
        // Others may pass through, to the folders of the servers, but not look around.
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(data_dir);
        made.map_err(cannot_use(data_dir))?;
        let folder = Folder::open(data_dir)?;
        let lock = lock(&folder, data_dir)?;
        let (nats_dir, postgres_dir) = (data_dir.join("nats"), data_dir.join("postgres"));
        let (nats, postgres) = tokio::try_join!(
            start_nats(tools, &nats_dir, NatsOptions::default()),
            start_postgres(tools, &postgres_dir, PostgresOptions::default()),
        )?;
        let env = format!(
            "VERBATIM_NATS_URL={}\nVERBATIM_NATS_OPERATOR_URL={}\nVERBATIM_DATABASE_URL={}\n",
            nats.url(),
            nats.url_of(NatsUser::Operator),
            postgres.url(),
        );
        folder.write("dev.env", &env, PRIVATE)?;
        Ok(Self { nats, postgres, _lock: lock })
    }

    /// Stops both, side by side; what is not gone after 10 s is killed.
    pub async fn stop(self) {
        let Self { nats, postgres, _lock } = self;
        tokio::join!(nats.stop(), postgres.stop());
    }
}

fn lock(folder: &Folder, data_dir: &Path) -> Result<File, DevError> {
    let path = data_dir.join("lock");
    let mut file = folder.file("lock")?;
    match file.try_lock() {
        Ok(()) => {
            let own = format!("{:<10}\n", std::process::id());
            file.write_all(own.as_bytes()).map_err(cannot_use(&path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            file.take(20).read_to_string(&mut process).map_err(cannot_use(&path))?;
            Err(DevError::InUse { data_dir: data_dir.into(), process: process.trim().into() })
        }
        Err(TryLockError::Error(source)) => Err(DevError::Folder { path, source }),
    }
}

fn cannot_use(path: &Path) -> impl FnOnce(io::Error) -> DevError {
    let path = path.to_owned();
    move |source| DevError::Folder { path, source }
}

/// A new password: a letter, then 128 random bits in hex. The letter keeps nats-server from reading a number.
fn new_password() -> String {
    let digits: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v{digits}")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
