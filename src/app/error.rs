//! The reasons why a process cannot run.

use std::net::SocketAddr;

use crate::{
    config::BadSetting,
    domain::Epoch,
    log::{OpenError, Unavailable},
    projector,
};

/// The reason why a process cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// A setting that names the servers cannot be used, or is missing.
    #[error(transparent)]
    Servers(BadSetting),
    /// A listener could not be opened at its address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Postgres does not answer, or answers with an error.
    #[error("database error: {0}")]
    Database(sqlx::Error),
    /// The address of the database is no URL of Postgres.
    #[error(
        "VERBATIM_DATABASE_URL cannot be used: {0}. Expected postgres://user:password@host:5432/database; in user and \
         password, percent-encode all but letters and digits (`/` is %2F, `@` is %40)"
    )]
    DatabaseUrl(String),
    /// The address of the replica is no URL of Postgres.
    #[error("VERBATIM_DATABASE_REPLICA_URL cannot be used: {0}. It has the form of VERBATIM_DATABASE_URL")]
    ReplicaUrl(String),
    /// Postgres refuses the login of this process, or does not have the database.
    #[error(
        "Postgres refused the login ({0}): check user, password and database in VERBATIM_DATABASE_URL, and percent-encode \
         all but letters and digits there"
    )]
    DatabaseRefused(#[source] sqlx::Error),
    /// The database lacks a migration of this version.
    #[error("the database is not migrated ({0}): run `verbatim migrate`")]
    Migrate(String),
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    NotMigrated(String),
    /// The log could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The epoch of the log differs from the epoch that the database knows.
    #[error(
        "the log has epoch {found}, but the database belongs to the log of epoch {its}: check VERBATIM_NATS_URL and \
         VERBATIM_DATABASE_URL. If one of the two was restored from a backup, see deploy/DISASTERS.md; \
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
    /// The comparison of the log and the views failed.
    #[error(transparent)]
    NotCompared(#[from] projector::NotCompared),
    /// The signing key cannot be used.
    #[error("the signing key cannot be used: {0}")]
    Key(String),
    /// A power failure would lose acknowledged events: nats-server syncs at this interval, in seconds.
    #[error(
        "nats-server syncs every {0} s, so a power failure loses messages acknowledged since the last sync: set \
         `sync_interval: always` in its `jetstream` block"
    )]
    Weak(u64),
    /// An operator's request was refused. The text says why.
    #[error("{0}")]
    Refused(String),
    /// What this process knows of the log is about another one.
    #[error("the log was restored or has begun a new epoch meanwhile: start this process again")]
    Replaced,
    /// A background task failed. The process stops, because a process without one of its tasks does more harm
    /// than a stopped one.
    #[error(
        "the background task `{0}` failed, so this process has stopped: restart it, and report the log line with the cause"
    )]
    Task(&'static str),
}
