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
mod rosters;
mod schema;
mod search;
mod toggles;
mod words;

pub use all::ALL;
pub use checkpoints::{
    Advanced, CheckpointState, Progress, advance, change_epoch, points_in, resume, stands,
};
pub(in crate::views) use columns::{bigint, position, read_word, word};
pub use compare::{Difference, compare};
pub use conversations::folds;
pub use history::{
    Direction, Message, QUOTE, Quote, ReactionCount, Reader, Version, around, history, message, messages_at,
    versions,
};
pub use keys::{FoundKey, Sending, UsedKeys};
pub use members::{
    Member, Memberships, Stay, any_is_in_as_many, latest_of, members, memberships, shared_conversations,
    strangers,
};
pub use messages::found;
pub use mine::{Among, LastMessage, MyConversation, one, page};
pub use moment::{Checkpoint, Moment};
pub use parked::{Parked, park, parked, parked_count, parked_in, unpark};
pub use pins::{Pin, pins};
pub use plans::plan_once;
pub use projection::{Fact, Projection};
pub use query::{Piece, SearchQuery};
pub use reactions::{Reaction, reactions};
pub use receipts::{Receipt, receipts, watermarks};
pub use rosters::{snapshot, snapshot_due};
pub use schema::{
    VERSION, begin, connect, create, discard, hold, indexes, is_whole, make_index, other_sets, replace_all,
    replace_one, schema, session, settle, tables, whole,
};
pub use search::{Hit, SearchError, search};
