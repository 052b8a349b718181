//! What has happened, as the log keeps it: a contract for years. Variants and optional fields may
//! be added, nothing is ever renamed or removed; `tests/contract/events/` holds a sample of each.
//!
//! What people typed is plain text here, not a type of the edge: rules for input change, and what was
//! accepted once stays readable. The schemas say what is written.
//!
//! An enum of a type of version 1 never gets another value: an older node could not read the event at all.
//! What is new is an optional field, which older nodes pass over, or another version of the type, which they
//! pass on unread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    ClientId, Emoji, Json, Lane, MessageId, Metadata, Position, Text, Time, Title, UserId,
    words::schema::schema_of_written,
};

/// Two people, or a group with a title and roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Exactly two members for ever.
    Direct,
    /// Members come and go.
    Group,
}

/// What a member may do. Ordered: a later role may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads and writes.
    Member,
    /// Also adds and removes members and changes the title.
    Admin,
    /// Also gives and takes roles.
    Owner,
}

/// What somebody who joins later may read of what was said before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// All of it.
    #[default]
    Full,
    /// Only what came after joining.
    SinceJoin,
}

/// Whether somebody is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No session.
    Offline,
    /// Sessions, all of which say that nobody looks.
    Away,
    /// At least one session in use.
    Online,
}

/// A member as `conversation.created` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "FirstMember")]
pub struct NewMember {
    /// Who.
    pub user_id: UserId,
    /// As what.
    pub role: Role,
}

/// One fact about one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `conversation.created`: with its first members, the creator among them.
    ConversationCreated(ConversationCreated),
    /// `conversation.updated`: what is absent stays as it was.
    ConversationUpdated(ConversationUpdated),
    /// `member.added`
    MemberAdded(MemberAdded),
    /// `member.removed`: by somebody else, or by leaving.
    MemberRemoved(MemberRemoved),
    /// `member.role_changed`
    MemberRoleChanged(MemberRoleChanged),
    /// `message.sent`
    MessageSent(MessageSent),
    /// `message.edited`
    MessageEdited(MessageEdited),
    /// `message.deleted`: for all.
    MessageDeleted(MessageDeleted),
    /// `reaction.added`
    ReactionAdded(ReactionAdded),
    /// `reaction.removed`
    ReactionRemoved(ReactionRemoved),
    /// `message.pinned`
    MessagePinned(MessagePinned),
    /// `message.unpinned`
    MessageUnpinned(MessageUnpinned),
    /// `receipt.advanced`: both watermarks as they are now; readers keep the greatest.
    ReceiptAdvanced(ReceiptAdvanced),
    /// `presence.changed`
    PresenceChanged(PresenceChanged),
}

/// A conversation began, with its first members: one event. The actor is its creator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationCreated {
    /// Direct or group.
    pub kind: Kind,
    /// A group's title, as typed: at most 256 bytes of UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Title>")]
    pub title: Option<String>,
    /// What later members may read.
    #[serde(default)]
    pub history: History,
    /// All members at the beginning.
    pub members: Vec<NewMember>,
}

/// A group got another title or setting; what is absent stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationUpdated {
    /// The new title, as typed: at most 256 bytes of UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Title>")]
    pub title: Option<String>,
    /// The new setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "History")]
    pub history: Option<History>,
}

/// Somebody was brought into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAdded {
    /// Who joins.
    pub user_id: UserId,
    /// As what.
    pub role: Role,
}

/// Somebody was put out of a group, or left: then actor and member are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRemoved {
    /// Who is gone.
    pub user_id: UserId,
}

/// A member of a group got another role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRoleChanged {
    /// Whose role.
    pub user_id: UserId,
    /// The new one.
    pub role: Role,
}

/// The actor said something. Void if the actor was not a member at this position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// The message. The position of this event is its position.
    pub message_id: MessageId,
    /// The sender's idempotency key.
    #[schemars(with = "ClientId")]
    pub client_id: String,
    /// As typed: at most 16 KiB of UTF-8.
    #[schemars(with = "Text")]
    pub text: String,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The position of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_position: Option<Position>,
    /// What programs added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Metadata>")]
    pub metadata: Option<Json>,
    /// Members at this position whom the text names as `<@user id>`, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
}

/// The sender of a message put another text in its place. Void if the actor was not a member at this
/// position or the message had been deleted before it; of two edits the later position counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageEdited {
    /// Which message.
    pub message_id: MessageId,
    /// Its position.
    pub message_position: Position,
    /// The actor's idempotency key, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
    /// The new text, as typed: at most 16 KiB of UTF-8.
    #[schemars(with = "Text")]
    pub text: String,
    /// Members at this position whom the new text names as `<@user id>`, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
}

macro_rules! of_a_message {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty)? })+) => {$(
        $(#[$doc])*
        ///
        /// Void if the actor was not a member at this position or the message had been deleted before it.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// Which message.
            pub message_id: MessageId,
            /// Its position.
            pub message_position: Position,
            /// The actor's idempotency key, if one was given.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(with = "Option<ClientId>")]
            pub client_id: Option<String>,
            $($(#[$field_attribute])* pub $field: $type,)?
        }
    )+};
}

of_a_message! {
    /// The actor deleted a message for all. With it go its text, metadata, mentions, earlier versions,
    /// reactions and pin.
    MessageDeleted {}
    /// The actor put a reaction to a message. Again it changes nothing.
    ReactionAdded {
        /// Which reaction: an emoji fully qualified, as Unicode lists it. Old events may lack U+FE0F, which
        /// makes no difference.
        #[schemars(with = "Emoji")]
        emoji: String
    }
    /// The actor took a reaction back.
    ReactionRemoved {
        /// Which reaction: an emoji fully qualified, as Unicode lists it. Old events may lack U+FE0F, which
        /// makes no difference.
        #[schemars(with = "Emoji")]
        emoji: String
    }
    /// The actor pinned a message. Again it changes nothing.
    MessagePinned {}
    /// The actor unpinned a message.
    MessageUnpinned {}
}

/// How far the actor has got: both watermarks as they are now, of which readers keep the
/// greatest. Void if the actor was not a member at this position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptAdvanced {
    /// Everything up to here has reached a device of the actor.
    pub delivered: Position,
    /// Everything up to here has been read by the actor.
    pub read: Position,
}

/// The actor came or went. Kept for an hour, in a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceChanged {
    /// The new status of the actor.
    pub status: Status,
    /// When the actor was last here; for `offline` the end of the last session.
    pub last_seen_at: Time,
}

/// What is published about a type of events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// What happened: `message.sent`.
    pub word: &'static str,
    /// Where it belongs.
    pub lane: Lane,
    /// The JSON Schema of its data, with an example.
    pub schema: serde_json::Value,
}

macro_rules! events {
    ($($variant:ident $data:ident $lane:ident $word:literal;)+) => {
        impl Event {
    /// Those who come in by it.
    pub fn brings_in(&self) -> Vec<UserId> {
        match self {
            Self::ConversationCreated(created) => created.members.iter().map(|m| m.user_id).collect(),
            Self::MemberAdded(added) => vec![added.user_id],
            Self::ConversationUpdated(_)
            | Self::MemberRemoved(_)
            | Self::MemberRoleChanged(_)
            | Self::MessageSent(_)
            | Self::MessageEdited(_)
            | Self::MessageDeleted(_)
            | Self::ReactionAdded(_)
            | Self::ReactionRemoved(_)
            | Self::MessagePinned(_)
            | Self::MessageUnpinned(_)
            | Self::ReceiptAdvanced(_)
            | Self::PresenceChanged(_) => Vec::new(),
        }
    }

            /// Every event's type, in the order of the lanes.
            pub const TYPES: &[&str] = &[$($word),+];

            /// Every event's type with its lane and schema.
            pub fn types() -> Vec<EventType> {
                vec![$(EventType { word: $word, lane: Lane::$lane, schema: schema_of_written::<$data>() }),+]
            }

            /// What happened: `message.sent`.
            pub fn word(&self) -> &'static str {
                match self { $(Self::$variant(_) => $word),+ }
            }

            /// Where it belongs.
            pub fn lane(&self) -> Lane {
                match self { $(Self::$variant(_) => Lane::$lane),+ }
            }

            /// Its data as JSON text.
            pub fn data(&self) -> serde_json::Result<Vec<u8>> {
                match self { $(Self::$variant(data) => serde_json::to_vec(data)),+ }
            }

            /// Reads an event back; `None` for a type of a newer version.
            pub fn read(word: &str, data: &[u8]) -> Option<serde_json::Result<Self>> {
                Some(match word {
                    $($word => serde_json::from_slice::<$data>(data).map(Self::$variant),)+
                    _ => return None,
                })
            }
        }
    };
}

events! {
    ConversationCreated ConversationCreated Roster "conversation.created";
    ConversationUpdated ConversationUpdated Roster "conversation.updated";
    MemberAdded MemberAdded Roster "member.added";
    MemberRemoved MemberRemoved Roster "member.removed";
    MemberRoleChanged MemberRoleChanged Roster "member.role_changed";
    MessageSent MessageSent Timeline "message.sent";
    MessageEdited MessageEdited Timeline "message.edited";
    MessageDeleted MessageDeleted Timeline "message.deleted";
    ReactionAdded ReactionAdded Timeline "reaction.added";
    ReactionRemoved ReactionRemoved Timeline "reaction.removed";
    MessagePinned MessagePinned Timeline "message.pinned";
    MessageUnpinned MessageUnpinned Timeline "message.unpinned";
    ReceiptAdvanced ReceiptAdvanced Receipts "receipt.advanced";
    PresenceChanged PresenceChanged Presence "presence.changed";
}

impl Event {
    /// The actor's idempotency key, if it came with one.
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::MessageSent(sent) => Some(&sent.client_id),
            Self::MessageEdited(edited) => edited.client_id.as_deref(),
            Self::MessageDeleted(deleted) => deleted.client_id.as_deref(),
            Self::ReactionAdded(added) => added.client_id.as_deref(),
            Self::ReactionRemoved(removed) => removed.client_id.as_deref(),
            Self::MessagePinned(pinned) => pinned.client_id.as_deref(),
            Self::MessageUnpinned(unpinned) => unpinned.client_id.as_deref(),
            _ => None,
        }
    }
}
