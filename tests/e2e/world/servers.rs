//! The servers of the stories: one Postgres for all of them, one nats-server for each.

use std::{
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{Connection as _, PgConnection};
use tokio::sync::OnceCell;
use verbatim::{
    app,
    dev::{self, Tools},
};

use crate::servers::{
    Cluster, Nats, NatsOptions, Postgres, PostgresOptions, start_cluster, start_nats, start_postgres,
};

const IN_MEMORY: &str = "/dev/shm";
/// More space than all stories use at once.
const ROOM: u64 = 6 << 30;
/// The id of the process and some letters follow this prefix.
const PREFIX: &str = "verbatim-story-";

/// A folder that the servers' user can reach. It is in memory if there is enough space, because a story creates and
/// deletes hundreds of files and need not survive a power loss.
pub fn folder() -> tempfile::TempDir {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let chosen = std::env::var_os("TMPDIR").is_some();
        let room = rustix::fs::statvfs(IN_MEMORY).map_or(0, |of| of.f_bavail * of.f_frsize);
        // Some stories put programs there.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let runs_programs = |line: &str| line.contains(IN_MEMORY) && !line.contains("noexec");
        let memory = room >= ROOM && mounts.lines().any(runs_programs);
        let place = if memory && !chosen { PathBuf::from(IN_MEMORY) } else { std::env::temp_dir() };
        remove_left_folders(&place);
        place
    });
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(&*PLACE).expect("a temporary folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("own folder");
    dir
}

/// Removes the folders of ended processes. The servers of all stories end with their process, which has no time to
/// remove their folders.
fn remove_left_folders(place: &Path) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in std::fs::read_dir(place).expect("the folder of temporary folders").flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        if process.is_some_and(|(id, _)| !Path::new("/proc").join(id).exists()) {
            // Another process may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

pub fn tools() -> &'static Tools {
    static TOOLS: std::sync::OnceLock<Tools> = std::sync::OnceLock::new();
    TOOLS.get_or_init(|| dev::tools().expect("nats-server and Postgres are found or fetched"))
}

pub async fn nats(dir: &Path) -> Nats {
    nats_with(dir, NatsOptions::default()).await
}

pub async fn nats_with(dir: &Path, options: NatsOptions) -> Nats {
    start_nats(tools(), &dir.join("nats"), options).await.expect("nats-server starts")
}

pub async fn cluster(dir: &Path, n: usize, options: NatsOptions) -> Cluster {
    start_cluster(tools(), &dir.join("cluster"), n, options).await.expect("the nats-servers start")
}

/// The Postgres of all stories, with a migrated database as a template. It ends with the process.
async fn postgres() -> &'static Postgres {
    static POSTGRES: OnceCell<(Postgres, tempfile::TempDir)> = OnceCell::const_new();
    let (postgres, _) = POSTGRES
        .get_or_init(|| async {
            let dir = folder();
            let options = PostgresOptions { fsync_off: true, ..Default::default() };
            let postgres = start_postgres(tools(), &dir.path().join("postgres"), options)
                .await
                .expect("Postgres starts");
            let mut connection = PgConnection::connect(postgres.url()).await.expect("connection");
            sqlx::raw_sql("create database blank").execute(&mut connection).await.expect("database");
            app::migrate(&postgres.url_of("blank")).await.expect("migrations");
            (postgres, dir)
        })
        .await;
    postgres
}

/// A separate database, migrated by `verbatim migrate`.
pub struct Database {
    name: String,
    pub url: String,
    /// Its server, if no other story uses it.
    own: Option<Postgres>,
}

impl Database {
    pub async fn new() -> Self {
        Self::like("blank").await
    }

    /// A copy of this database. Nobody may be connected to it.
    pub async fn copy(&self) -> Self {
        Self::like(&self.name).await
    }

    async fn like(template: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Two copies of one template at the same time are refused.
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let name = format!("story_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let postgres = postgres().await;
        let _turn = TURN.lock().await;
        // Copying the files costs half of what copying the blocks through the WAL costs.
        execute(postgres, &format!("create database {name} template {template} strategy file_copy")).await;
        Self { url: postgres.url_of(&name), name, own: None }
    }

    /// A database on a Postgres that the story may freeze and kill.
    pub async fn on_its_own_server(dir: &Path, options: PostgresOptions) -> Self {
        let own = start_postgres(tools(), &dir.join("postgres"), options).await.expect("Postgres starts");
        app::migrate(own.url()).await.expect("migrations");
        Self { url: own.url().to_owned(), name: "verbatim".to_owned(), own: Some(own) }
    }

    /// The server of a database that has its own.
    pub fn server(&mut self) -> &mut Postgres {
        self.own.as_mut().expect("the story asked for a Postgres of its own")
    }

    /// Executes a statement by hand. A drop takes its locks in another order than the projector, so Postgres may
    /// have to cancel one of the two. Then the statement has had no effect, and is retried.
    pub async fn does(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url).await.expect("connection");
        let is_deadlock = |error: &sqlx::Error| {
            error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == "40P01")
        };
        loop {
            let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
            match statement.execute(&mut connection).await {
                Err(error) if is_deadlock(&error) => {}
                Err(error) => panic!("statement: {error:?}"),
                Ok(_) => return,
            }
        }
    }

    /// The single value of a query.
    pub async fn finds<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut connection = PgConnection::connect(&self.url).await.expect("connection");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut connection)
            .await
            .expect("a value")
    }

    /// Makes the database unreachable for all nodes during an action.
    pub async fn is_gone_for(&self, happening: impl Future<Output = ()>) {
        let postgres = postgres().await;
        let name = &self.name;
        execute(postgres, &format!("alter database {name} allow_connections false")).await;
        execute(
            postgres,
            &format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
        )
        .await;
        happening.await;
        execute(postgres, &format!("alter database {name} allow_connections true")).await;
        // After one idle second, nodes test a connection before they use it. Real clients would retry instead.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }

    pub async fn drop(self) {
        if let Some(own) = self.own {
            return own.stop().await;
        }
        execute(postgres().await, &format!("drop database {} with (force)", self.name)).await;
    }
}

async fn execute(postgres: &Postgres, sql: &str) {
    let mut connection = PgConnection::connect(postgres.url()).await.expect("connection");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("statement");
}
