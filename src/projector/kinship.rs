//! Do the views belong to this log? A log that was restored from an older copy has the epoch of the lost log, and
//! reuses its positions. Only the event at a checkpoint distinguishes the two.

use std::fmt;

use sqlx::PgConnection;

use crate::{
    domain::{Epoch, Point, Position},
    log::{Found, Holds, Log, Unavailable},
    views,
};

/// The relation of the views to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kinship {
    /// The views were built from this log.
    Views,
    /// This log has the events at the checkpoints, but the views have another epoch.
    AnotherEpoch(Epoch),
    /// The views have an event that this log lacks.
    AnotherLog(AnotherLog),
}

impl Kinship {
    /// The fault and its remedy, if there is a fault.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            Self::Views => None,
            Self::AnotherEpoch(epoch) => Some(format!(
                "the views belong to epoch {epoch}, not to that of the log: run `verbatim rebuild all`"
            )),
            Self::AnotherLog(foreign) => Some(format!(
                "{foreign}: restore the log to which they belong (deploy/DISASTERS.md), or discard what this log lacks \
                 with `verbatim rebuild all --force`"
            )),
        }
    }
}

/// Why views and log could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// Postgres failed.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] Unavailable),
}

/// A point at which the views have an event that this log lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnotherLog {
    stream: usize,
    at: Point,
    /// The event of the log at that position.
    found: Found,
}

impl AnotherLog {
    /// Compares one point of the views with the log.
    pub(super) async fn at(log: &Log, stream: usize, at: Point) -> Result<Option<Self>, Unavailable> {
        if stream >= log.layout().streams {
            return Ok(Some(Self::ahead(stream, at, Position::START)));
        }
        Ok(match log.holds(stream, at).await? {
            Holds::Same => None,
            Holds::Instead(found) => Some(Self { stream, at, found }),
        })
    }

    /// A point after the end of the log.
    pub(super) fn ahead(stream: usize, at: Point, last: Position) -> Self {
        Self { stream, at, found: Found::Ahead { last } }
    }
}

impl fmt::Display for AnotherLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, at: Point { position, event }, found } = self;
        write!(f, "the views are at position {position} of CHAT_{stream}, ")?;
        match found {
            Found::Ahead { last } => write!(f, "but the log ends at {last}"),
            Found::Event(other) => write!(f, "event {event}; the log has event {other} there"),
            Found::Missing => write!(f, "event {event}, which is missing from the log"),
        }
    }
}

/// Compares the views of a schema with a log.
pub(crate) async fn kinship(
    log: &Log,
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Kinship, NotCompared> {
    let mut other = None;
    for (stream, (epoch, at)) in views::points_in(connection, schema).await? {
        if let Some(foreign) = AnotherLog::at(log, stream, at).await? {
            return Ok(Kinship::AnotherLog(foreign));
        }
        other = other.or((epoch != *log.epoch()).then_some(epoch));
    }
    Ok(other.map_or(Kinship::Views, Kinship::AnotherEpoch))
}
