//! What can be **asked**: tables of the Postgres schema `view`, disposable, built from the log.
//!
//! One file is one view: its projection, the only writer, beside its queries, the only readers.
//! Rows and checkpoint of a batch commit in one transaction.

mod checkpoints;
mod compare;
mod conversations;
mod history;
mod keys;
mod members;
mod mentions;
mod messages;
mod moment;
mod parked;
mod pins;
mod reactions;
mod receipts;
mod rosters;
mod schema;
mod search;
mod toggles;
mod words;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

pub use checkpoints::{
    Advanced, Checkpoint, Progress, Standing, advance, change_epoch, points_in, resume, stands,
};
pub use compare::{Difference, compare};
pub use conversations::{Among, Conversation, LastMessage, folds, one, page};
pub use history::{
    Direction, Message, QUOTE, Quote, ReactionCount, Reader, Version, around, history, message, messages_at,
    versions,
};
pub use keys::{Found, Keys, Sending};
pub use members::{
    Member, Memberships, Stay, any_is_in_as_many, latest_of, members, memberships, shared_conversations,
};
pub use messages::found;
pub use moment::Moment;
pub use parked::{Parked, park, parked, parked_count, parked_in, unpark};
pub use pins::{Pin, pins};
pub use reactions::{Reaction, reactions};
pub use receipts::{Receipt, receipts, watermarks};
pub use rosters::{snapshot, snapshot_due};
pub use schema::{
    VERSION, begin, connect, create, discard, hold, indexes, is_whole, make_index, other_sets, plan_once,
    replace_all, replace_one, schema, session, settle, tables, whole,
};
pub use search::{Hit, SearchError, search};
pub use words::{Piece, Wanted};

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
    /// Who did it.
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

/// All of them, in the order in which they apply.
pub const ALL: [Projection; 9] = [
    conversations::PROJECTION,
    members::PROJECTION,
    rosters::PROJECTION,
    messages::PROJECTION,
    keys::PROJECTION,
    // What is put to messages looks at them as they are at the end of the batch.
    mentions::PROJECTION,
    reactions::PROJECTION,
    pins::PROJECTION,
    receipts::PROJECTION,
];

/// How a value of the domain is written in a column.
fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("roles, kinds and settings are words, not {other:?}"),
    }
}

/// Reads it back.
fn read_word<T: serde::de::DeserializeOwned>(word: String) -> sqlx::Result<T> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|e| sqlx::Error::Decode(e.into()))
}

fn bigint(position: Position) -> i64 {
    position.0.try_into().unwrap_or(i64::MAX)
}

fn position(stored: i64) -> Position {
    Position(stored.try_into().unwrap_or_default())
}
