//! A projection, and the facts that it gets.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::domain::{ConversationId, Event, EventId, Lane, Position, Snapshot, Time, UserId};

/// An event that counts, or was tried in vain, as projections see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Where it stands.
    pub position: Position,
    /// In which conversation.
    pub conversation: ConversationId,
    /// In which lane.
    pub lane: Lane,
    /// Its id.
    pub id: EventId,
    /// The user who caused the event.
    pub actor: UserId,
    /// When.
    pub time: Time,
    /// What; `None` for a type that this version does not know, and for what is void.
    pub event: Option<Event>,
    /// The idempotency key of something void. It has no other effect than that it was tried.
    pub void: Option<String>,
    /// How many events the roster of the conversation has had by then.
    pub changes: u64,
    /// The roster behind it, where a snapshot is due.
    pub snapshot: Option<Snapshot>,
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
