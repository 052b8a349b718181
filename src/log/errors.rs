//! The errors of the log: why it cannot be opened, written to or read.

use std::fmt;

use crate::{
    domain::Position,
    log::{level::CONTRACT, limits::MAX_EVENT_BYTES},
    telemetry::METRICS,
};

/// Why the address of NATS cannot be used. It never repeats the address, which holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub(in crate::log) String);

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The setting is not the address of a nats-server.
    #[error("VERBATIM_NATS_URL cannot be used: {0}")]
    Url(#[from] BadUrl),
    /// nats-server cannot be reached.
    #[error("cannot connect to NATS: {0}")]
    Connect(String),
    /// nats-server refuses the credentials, again and again.
    #[error(
        "nats-server refused the login ({0}): check user and password in VERBATIM_NATS_URL, where all but letters and \
         digits must be percent-encoded, or the file of VERBATIM_NATS_CREDENTIALS_FILE, VERBATIM_NATS_NKEY_FILE or \
         VERBATIM_NATS_TOKEN_FILE"
    )]
    Refused(String),
    /// The largest message that nats-server accepts is smaller than the largest event.
    #[error(
        "nats-server accepts messages of up to {found} bytes, but events have up to {MAX_EVENT_BYTES}: set `max_payload` \
         in its configuration to {MAX_EVENT_BYTES} or more (its default is 1MB)"
    )]
    Small {
        /// Its `max_payload`.
        found: usize,
    },
    /// The log was created with another layout, or its streams do not belong together.
    #[error("{0}")]
    Layout(String),
    /// There is no stream of the log.
    #[error(
        "there is no log: none of its streams exists. Create it with `verbatim migrate` in a new installation; restore a \
         lost log from a backup (deploy/DISASTERS.md)"
    )]
    NoLog,
    /// The log requires a newer version of Verbatim.
    #[error(
        "this version is too old for the log: {stream} requires contract level {needed}, but this version supports only \
         up to level {}. Run the version that wrote the log, or a newer one",
        CONTRACT.reads
    )]
    TooOld {
        /// The stream that requires a newer version.
        stream: String,
        /// The level that a reader must have at least.
        needed: String,
    },
    /// A restore has begun and is not finished.
    #[error(
        "the log is being restored, and {0} is not ready: run the same `verbatim restore` again until it succeeds"
    )]
    Restoring(String),
    /// Some streams of the log are missing.
    #[error(
        "the log is incomplete: {0} missing. Restore from a backup (deploy/DISASTERS.md); only if there is none, create \
         the missing streams, empty, with `verbatim log recreate`"
    )]
    Missing(String),
    /// The stream of audit events is missing.
    #[error(
        "the stream AUDIT is missing, and audit events wait in Postgres: create it with `verbatim migrate` for a log of an \
         older version; restore a lost one from a backup, or recreate it empty with `verbatim log recreate`"
    )]
    NoAudit,
    /// This user may not create or change streams.
    #[error(
        "this NATS user may not create or change streams (nats-server refuses {0}). Run `verbatim migrate`, or the \
         `verbatim restore` or `verbatim log` command that you need, with an operator's user in \
         VERBATIM_NATS_OPERATOR_URL"
    )]
    Forbidden(String),
    /// There are fewer servers than a stream has replicas.
    #[error(
        "nats-server has no place for {replicas} replicas of {stream} ({why}): start {replicas} nats-servers as one cluster, \
         or set VERBATIM_REPLICAS to fewer"
    )]
    NoPlace {
        /// The stream.
        stream: String,
        /// The number of its replicas.
        replicas: usize,
        /// The answer of the server.
        why: String,
    },
    /// JetStream does not answer, or refused to create or to update a stream.
    #[error("cannot open the streams: {0}")]
    Streams(String),
}

pub(in crate::log) fn refused(e: impl fmt::Display) -> OpenError {
    OpenError::Streams(e.to_string())
}

/// The log cannot answer now; whether the event is stored is not known. The same event with the
/// same key may be tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log does not answer: {0}")]
pub struct Unavailable(String);

impl Unavailable {
    /// The reason is for log lines; clients do not see it.
    pub fn because(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

/// Why an event was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotAppended {
    /// nats-server accepts no message of this size; a retry does not help.
    #[error(
        "nats-server refuses a message of this size: raise its `max_payload`, or `max_msg_size` of the stream"
    )]
    TooLarge,
    /// The log cannot answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl NotAppended {
    /// The reason as a word, for metrics.
    pub(in crate::log) fn word(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unavailable(_) => "unavailable",
        }
    }

    pub(in crate::log) fn too_large() -> Self {
        METRICS.too_large.inc();
        Self::TooLarge
    }
}

/// Why a roster event was not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Conflict {
    /// Another command was faster: decide again on the new roster.
    #[error("the roster changed meanwhile, at {0}")]
    Changed(Position),
    /// The event was not appended for another reason.
    #[error(transparent)]
    NotAppended(#[from] NotAppended),
}

impl From<Unavailable> for Conflict {
    fn from(outage: Unavailable) -> Self {
        Self::NotAppended(outage.into())
    }
}

/// The stream has a hole: a reader that continued would lose events.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{stream} cannot be read beyond {last}: {why}")]
pub struct Damaged {
    /// The damaged stream.
    pub stream: String,
    /// The last position before the damage.
    pub last: Position,
    /// The damage after that position.
    pub why: String,
}

/// Why events could not be read from the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotRead {
    /// An event in the range is missing for good.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The log does not answer now; a retry may help.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<NotRead> for Unavailable {
    fn from(e: NotRead) -> Self {
        match e {
            NotRead::Damaged(damaged) => Self::because(damaged),
            NotRead::Unavailable(e) => e,
        }
    }
}

/// A message in a stream of the log that is not one of our events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {position} on {subject} is not an event: {why}")]
pub struct Malformed {
    /// The position of the message.
    pub position: Position,
    /// The subject of the message.
    pub subject: String,
    /// The defect.
    pub why: String,
}
