//! What **may** happen: pure rules over plain values. No clock, no randomness, no waiting.
//!
//! [`Conversation::decide`] turns a command into at most one event, [`Conversation::evolve`] takes
//! an event in. The rest is the vocabulary of both.

mod conversation;
mod stored;
#[cfg(test)]
mod tests;
mod words;

pub use conversation::aggregate::{Conversation, Membership};
pub use conversation::command::{Command, MAX_FIRST_MEMBERS, MAX_MEMBERS, Rejection};
pub use conversation::fold::{Fold, Snapshot};
pub use conversation::message::{Act, FoundMessage, MAX_PINS, MAX_REACTIONS, NewMessage};
pub use conversation::past::{AsOf, Mark, Marks, Past, Reacted, Said};
pub use stored::event::{
    ConversationCreated, ConversationUpdated, Event, EventType, History, Kind, MemberAdded, MemberRemoved,
    MemberRoleChanged, MessageDeleted, MessageEdited, MessagePinned, MessageSent, MessageUnpinned, NewMember,
    PresenceChanged, ReactionAdded, ReactionRemoved, ReceiptAdvanced, Role, Status,
};
pub use stored::lane::{Lane, LaneWord};
pub use stored::recorded::Recorded;
pub use stored::shapes::{name_models, shapes_by_type};
pub use words::emoji::{Emoji, NotOneSign};
pub use words::ids::{
    ConversationId, Epoch, EventId, LoginId, MessageId, NotAPosition, NotAnId, Point, Position, UserId,
};
pub use words::json::{Fields, Json};
pub use words::metadata::{BadMetadata, Metadata};
pub use words::schema::{schema_of_read, schema_of_written};
pub use words::text::{BadText, ClientId, NotAKey, Text, Title, not_in_a_name};
pub use words::time::{NotATime, Time};
