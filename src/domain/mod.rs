//! What **may** happen: pure rules over plain values. No clock, no randomness, no waiting.
//!
//! [`Conversation::decide`] turns a command into at most one event, [`Conversation::evolve`] takes
//! an event in. The rest is the vocabulary of both.

mod conversation;
mod emoji;
mod event;
mod fold;
mod ids;
mod joiners;
mod json;
mod message;
mod metadata;
mod past;
mod schema;
mod text;
mod time;

#[cfg(test)]
mod tests;

pub use conversation::{Command, Conversation, MAX_FIRST_MEMBERS, MAX_MEMBERS, Membership, Rejection};
pub use emoji::{Emoji, NotOneSign};
pub use event::{
    ConversationCreated, ConversationUpdated, Event, EventType, History, Kind, Lane, MemberAdded,
    MemberRemoved, MemberRoleChanged, MessageDeleted, MessageEdited, MessagePinned, MessageSent,
    MessageUnpinned, NewMember, PresenceChanged, ReactionAdded, ReactionRemoved, ReceiptAdvanced, Role,
    Status,
};
pub use fold::{Fold, Snapshot};
pub use ids::{
    ConversationId, Epoch, EventId, LoginId, MessageId, NotAPosition, NotAnId, Point, Position, UserId,
};
pub use json::{Fields, Json};
pub use message::{Act, MAX_PINS, MAX_REACTIONS, Message, NewMessage};
pub use metadata::{BadMetadata, Metadata};
pub use past::{AsOf, Happened, Mark, Marks, Past, Reacted, Said};
pub use schema::{schema_of_read, schema_of_written};
pub use text::{BadText, ClientId, NotAKey, Text, Title, not_in_a_name};
pub use time::{NotATime, Time};
