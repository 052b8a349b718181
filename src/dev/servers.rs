//! Both private servers on one data folder.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{
    authority::{CONSUMERS_KEY, NODE, OPERATOR, OPERATOR_KEY, SYSTEM},
    dev::{
        DevError, Nats, NatsOptions, Postgres, PostgresOptions, Tools,
        error::cannot_use,
        folder::{Folder, PRIVATE},
        secret::new_master_key,
        start_nats, start_postgres,
    },
};

/// The file with the addresses and credentials.
pub(super) const ENV: &str = "dev.env";
/// The settings that name a file of the NATS accounts.
const FILES: [(&str, &str); 5] = [
    ("VERBATIM_NATS_CREDENTIALS_FILE", NODE),
    ("VERBATIM_NATS_OPERATOR_CREDENTIALS_FILE", OPERATOR),
    ("VERBATIM_NATS_SYS_CREDENTIALS_FILE", SYSTEM),
    ("VERBATIM_NATS_OPERATOR_KEY_FILE", OPERATOR_KEY),
    ("VERBATIM_CONSUMERS_KEY_FILE", CONSUMERS_KEY),
];
/// The file with the key that encrypts secrets in the database.
const MASTER_KEY: &str = "master.key";
/// The beginning of the line with the API key.
const KEY: &str = "VERBATIM_KEY=";

/// The nats-server and the Postgres of one data folder. A lock keeps other processes from using the folder meanwhile.
#[derive(Debug)]
pub struct Servers {
    /// The server of the log.
    pub nats: Nats,
    /// The server of the views and the accounts.
    pub postgres: Postgres,
    folder: Folder,
    _lock: File,
}

impl Servers {
    /// Starts both servers on the data in `data_dir`, or on new data, and writes their addresses and credentials to
    /// `<data_dir>/dev.env`. Returns when both servers have answered a real request. Fails after 30 s.
    pub async fn start(tools: &Tools, data_dir: &Path) -> Result<Self, DevError> {
        // Other users may pass through the folder to the folders of the servers, but not list it.
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(data_dir);
        made.map_err(cannot_use(data_dir))?;
        let folder = Folder::open(data_dir)?;
        let lock = lock(&folder, data_dir)?;
        let (nats_dir, postgres_dir) = (data_dir.join("nats"), data_dir.join("postgres"));
        let (nats, postgres) = tokio::try_join!(
            start_nats(tools, &nats_dir, NatsOptions::default()),
            start_postgres(tools, &postgres_dir, PostgresOptions::default()),
        )?;
        let servers = Self { nats, postgres, folder, _lock: lock };
        let key = servers.key()?;
        servers.write_env(key.as_deref(), &[])?;
        Ok(servers)
    }

    /// The API key in `dev.env`, if there is one.
    pub fn key(&self) -> Result<Option<String>, DevError> {
        let env = self.folder.read(ENV)?.unwrap_or_default();
        Ok(env.lines().find_map(|line| line.strip_prefix(KEY)).map(str::to_owned))
    }

    /// The key that encrypts secrets in the database. The first start generates it.
    pub fn master_key(&self) -> Result<String, DevError> {
        if let Some(kept) = self.folder.read(MASTER_KEY)? {
            return Ok(kept);
        }
        let key = new_master_key();
        self.folder.write(MASTER_KEY, &key, PRIVATE)?;
        Ok(key)
    }

    /// Stores an API key in `dev.env`, and settings of dev mode that commands need as well.
    pub fn keep(&self, key: &str, settings: &[(&str, String)]) -> Result<(), DevError> {
        self.write_env(Some(key), settings)
    }

    /// The folder for an archive. It does not belong to a server, but it is on the same disk; a real archive should be
    /// elsewhere.
    pub fn archive(&self) -> PathBuf {
        let path = self.folder.path.join("archive");
        std::path::absolute(&path).unwrap_or(path)
    }

    fn write_env(&self, key: Option<&str>, settings: &[(&str, String)]) -> Result<(), DevError> {
        let own = [
            ("VERBATIM_NATS_URL", self.nats.url().to_owned()),
            ("VERBATIM_DATABASE_URL", self.postgres.url().to_owned()),
            ("VERBATIM_MASTER_KEY_FILE", self.folder.path.join(MASTER_KEY).display().to_string()),
            ("VERBATIM_ARCHIVE", format!("dir:{}", self.archive().display())),
        ];
        let files = FILES.map(|(name, file)| (name, self.nats.folder().join(file).display().to_string()));
        let is_given = |name: &str| settings.iter().any(|(given, _)| *given == name);
        let own = own.iter().chain(&files).filter(|(name, _)| !is_given(name));
        let mut env: String = own.chain(settings).map(|(name, value)| format!("{name}={value}\n")).collect();
        if let Some(key) = key {
            env.push_str(KEY);
            env.push_str(key);
            env.push('\n');
        }
        self.folder.write(ENV, &env, PRIVATE)
    }

    /// Stops both servers at the same time, and kills a server that has not ended after 10 s.
    pub async fn stop(self) {
        let Self { nats, postgres, .. } = self;
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
