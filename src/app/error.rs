//! Why a process cannot run.

use std::net::SocketAddr;

use crate::{
    config::BadSetting,
    domain::Epoch,
    log::{OpenError, Unavailable},
    projector,
};

/// Why a process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The database does not answer as it should.
    #[error("the database: {0}")]
    Database(sqlx::Error),
    /// The address of the database is none.
    #[error(
        "VERBATIM_DATABASE_URL cannot be used: {0}. Expected postgres://user:password@host:5432/database; in user and \
         password, percent-encode all but letters and digits (`/` is %2F, `@` is %40)"
    )]
    DatabaseUrl(String),
    /// The database refuses us, again and again.
    #[error(
        "Postgres refuses the login ({0}): compare user, password and database in VERBATIM_DATABASE_URL, where all but \
         letters and digits is percent-encoded, with the server's"
    )]
    DatabaseRefused(#[source] sqlx::Error),
    /// The tables are not those of this version.
    #[error("the database is not migrated ({0}): run `verbatim migrate`")]
    Migrate(String),
    /// The tables could not be brought to this version.
    #[error("the database could not be migrated: {0}")]
    NotMigrated(String),
    /// The log refuses.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log is not the one that belongs to the database.
    #[error(
        "the log is of epoch {found}, and the database belongs to the log of epoch {its}: look at VERBATIM_NATS_URL and \
         VERBATIM_DATABASE_URL. If one of the two was restored from a backup, see \"Disasters\" in deploy/README.md; \
         `verbatim log begin-epoch` joins them"
    )]
    AnotherLog {
        /// The epoch that the database knows.
        its: Epoch,
        /// The epoch of the log.
        found: Epoch,
    },
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] Unavailable),
    /// Log and views could not be compared.
    #[error(transparent)]
    NotCompared(#[from] projector::NotCompared),
    /// The signing key cannot be used.
    #[error("the signing key: {0}")]
    Key(String),
    /// The log would lose what it has acknowledged.
    #[error(
        "nats-server syncs every {0} s, so a power failure loses what was acknowledged since: set `sync_interval: always` in its `jetstream` block"
    )]
    Weak(u64),
    /// A background task failed, and half a process is worse than none.
    #[error(
        "the background task `{0}` has failed, so this process has stopped: start it again, and report the log line that says why"
    )]
    Task(&'static str),
}
