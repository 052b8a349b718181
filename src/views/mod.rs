//! What can be **asked**: tables of the Postgres schema `view`, disposable, built from the log.
//!
//! One file is one view: its projection, the only writer, beside its queries, the only readers.
//! Rows and checkpoint of a batch commit in one transaction.

mod all;
mod checkpoints;
mod columns;
mod compare;
mod conversations;
mod history;
mod horizons;
mod keys;
mod members;
mod mentions;
mod messages;
mod mine;
mod moment;
mod parked;
mod pins;
mod plans;
mod projection;
mod query;
mod reactions;
mod receipts;
mod replica;
mod rosters;
mod schema;
mod search;
mod stays;
mod toggles;
mod words;

pub use all::ALL;
pub use checkpoints::Progress;
pub(crate) use checkpoints::{
    Advanced, CheckpointState, advance, change_epoch, points_in, positions_in, resume,
};
pub(in crate::views) use columns::{bigint, position, read_word, titled, word};
pub(crate) use compare::Difference;
pub use compare::compare;
pub(crate) use conversations::folds;
pub use history::{Direction, Reader, history};
pub(crate) use history::{
    Message, QUOTE, Quote, ReactionCount, Version, around, last_messages, message, messages_at, versions,
};
pub use horizons::Horizon;
pub(crate) use horizons::{expired_in, expired_messages};
pub(crate) use keys::{AskedKey, FoundKey, LatestKeys, Sending, UsedKeys};
pub(crate) use members::{
    Member, any_is_in_as_many, first_members, latest_of, members, shared_conversations, shared_with_each,
};
pub(crate) use messages::{Sight, found, sights};
pub use mine::{Among, page};
pub(crate) use mine::{LastMessage, MyConversation, one};
pub use moment::Checkpoint;
pub(crate) use moment::Moment;
pub(crate) use parked::{
    Parked, first_parked, park, parked, parked_conversations, parked_count, parked_in, unpark,
};
pub(crate) use pins::{Pin, pins};
pub(crate) use plans::plan_once;
pub use projection::Fact;
pub(crate) use projection::Projection;
pub(crate) use query::Piece;
pub use query::SearchQuery;
pub(crate) use reactions::{Reaction, reactions};
pub(crate) use receipts::{Receipt, receipts, watermarks};
pub use replica::ReadViews;
pub(crate) use replica::{ReplicaStanding, follows};
pub(crate) use rosters::{snapshot, snapshot_due};
pub(crate) use schema::{
    begin, connect, create, hold, is_whole, make_index, other_sets, replace_all, replace_one, session,
    settle, stands, whole,
};
pub use schema::{discard, indexes, schema, tables};
pub use search::{Hit, SearchError, search};
pub(crate) use stays::{Memberships, Stay, memberships};
