//! A projection, and the facts that it gets.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::domain::{Event, Recorded, Snapshot};

/// An event for the projections, and what its conversation was behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The event as it was recorded.
    pub recorded: Recorded,
    /// Whether the event counts. A void event has no effect but one: its idempotency key is used.
    pub counts: bool,
    /// How many events the roster of the conversation has had by then.
    pub changes: u64,
    /// The roster behind the event, where a snapshot is due.
    pub snapshot: Option<Snapshot>,
}

impl Fact {
    /// The event; `None` if the event is void, or of a type that this version does not know.
    pub fn event(&self) -> Option<&Event> {
        self.recorded.event.as_ref().filter(|_| self.counts)
    }
}

/// Brings facts into tables.
pub struct Projection {
    /// Its name, which its checkpoints bear.
    pub name: &'static str,
    /// The tables that it alone writes.
    pub tables: &'static [&'static str],
    /// The SQL that makes them, in whatever schema the search path names.
    pub definition: &'static str,
    /// More indexes, by which only queries read, each as SQL: a rebuild makes them when the rows are
    /// there.
    pub indexes: &'static [&'static str],
    /// Applies facts in their order. Applying the same ones again changes nothing.
    pub apply: for<'a> fn(&'a mut PgConnection, &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>>,
}
