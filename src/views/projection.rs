//! Projections, and the facts that they apply.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::domain::{Event, Recorded, Snapshot};

/// An event for the projections, with the state of its conversation after the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The event as it was recorded.
    pub recorded: Recorded,
    /// Whether the event counts. The only effect of a void event is that its idempotency key is used.
    pub counts: bool,
    /// How many events the roster of the conversation has had by then.
    pub changes: u64,
    /// The roster after the event, if a snapshot is due.
    pub snapshot: Option<Snapshot>,
}

impl Fact {
    /// The event; `None` if the event is void, or of a type that this version does not know.
    pub fn event(&self) -> Option<&Event> {
        self.recorded.event.as_ref().filter(|_| self.counts)
    }
}

/// Writes facts into tables.
pub struct Projection {
    /// The name of the projection, also in its checkpoints.
    pub name: &'static str,
    /// The tables that only this projection writes.
    pub tables: &'static [&'static str],
    /// The SQL that creates the tables, in the schema of the search path.
    pub definition: &'static str,
    /// Query-only indexes, each as SQL. A rebuild creates them after the rows.
    pub indexes: &'static [&'static str],
    /// Applies facts in their order. Applying the same facts again changes nothing.
    pub apply: for<'a> fn(&'a mut PgConnection, &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>>,
}
