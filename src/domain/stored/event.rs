//! Events as the log stores them: a long-term contract. Variants and optional fields may be added, but nothing is ever
//! renamed or removed. `tests/contract/events/` holds a sample of each type.
//!
//! Texts that users typed are plain strings here, not the types that the edges parse: the rules for input change, and a
//! text that was accepted once must stay readable. The schemas describe the texts that are written today.
//!
//! Enums in version 1 of a type never get another value, because an older node could not read the event at all.
//! Additions are optional fields, which older nodes ignore, or another version of the type, which older nodes pass on
//! unread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    ClientId, ContentErased, Emoji, Json, Lane, MessageId, Metadata, Position, Text, Time, Title, UserId,
    words::schema::schema_of_written,
};

/// A direct conversation of two users, or a group with a title and roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Two users, who stay members.
    Direct,
    /// Members join and leave.
    Group,
}

/// The permissions of a member. A later role has all permissions of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May read and write.
    Member,
    /// May also add and remove members and change the title.
    Admin,
    /// May also change roles.
    Owner,
}

/// How much of the history a new member may read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// The whole history.
    #[default]
    Full,
    /// The messages since joining.
    SinceJoin,
}

/// The presence of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user has no session.
    Offline,
    /// The user has sessions, but none is in use.
    Away,
    /// The user has a session that is in use.
    Online,
}

/// A member as `conversation.created` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "FirstMember")]
pub struct NewMember {
    /// The user.
    pub user_id: UserId,
    /// The role of the user.
    pub role: Role,
}

impl NewMember {
    /// A member without special rights.
    pub fn plain(user_id: UserId) -> Self {
        Self { user_id, role: Role::Member }
    }
}

/// One fact about one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `conversation.created`: with its first members, the creator among them.
    ConversationCreated(ConversationCreated),
    /// `conversation.updated`: an absent field keeps its value.
    ConversationUpdated(ConversationUpdated),
    /// `member.added`
    MemberAdded(MemberAdded),
    /// `member.removed`: by another member, or by leaving.
    MemberRemoved(MemberRemoved),
    /// `member.role_changed`
    MemberRoleChanged(MemberRoleChanged),
    /// `message.sent`
    MessageSent(MessageSent),
    /// `message.edited`
    MessageEdited(MessageEdited),
    /// `message.deleted`: for all members.
    MessageDeleted(MessageDeleted),
    /// `reaction.added`
    ReactionAdded(ReactionAdded),
    /// `reaction.removed`
    ReactionRemoved(ReactionRemoved),
    /// `message.pinned`
    MessagePinned(MessagePinned),
    /// `message.unpinned`
    MessageUnpinned(MessageUnpinned),
    /// `content.erased`: the content at some positions is gone.
    ContentErased(ContentErased),
    /// `receipt.advanced`: both current watermarks; readers keep the greatest.
    ReceiptAdvanced(ReceiptAdvanced),
    /// `presence.changed`
    PresenceChanged(PresenceChanged),
}

/// The actor created a conversation with its first members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationCreated {
    /// Direct or group.
    pub kind: Kind,
    /// The title of a group, as typed: at most 256 bytes of UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Title>")]
    pub title: Option<String>,
    /// How much of the history new members may read.
    #[serde(default)]
    pub history: History,
    /// The first members, including the creator.
    pub members: Vec<NewMember>,
}

/// The actor changed the title or a setting of a group. An absent field keeps its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationUpdated {
    /// The new title, as typed: at most 256 bytes of UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Title>")]
    pub title: Option<String>,
    /// The new history setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "History")]
    pub history: Option<History>,
    /// The seconds for which messages are kept from now on; 0 if the group no longer has a retention of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", example = &2_592_000)]
    pub retention_s: Option<u64>,
    /// The idempotency key of the actor, if the command had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
}

/// The actor added a user to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAdded {
    /// The new member.
    pub user_id: UserId,
    /// The role of the new member.
    pub role: Role,
    /// The idempotency key of the actor, if the command had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
}

/// The actor removed a member from a group, or left it: the actor is then that member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRemoved {
    /// The former member.
    pub user_id: UserId,
    /// The idempotency key of the actor, if the command had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
}

/// The actor gave a member of a group another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRoleChanged {
    /// The member.
    pub user_id: UserId,
    /// The new role.
    pub role: Role,
    /// The idempotency key of the actor, if the command had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
}

/// The actor sent a message. The event is void if the actor was not a member at this position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// The message. Its position is the position of this event.
    pub message_id: MessageId,
    /// The idempotency key of the sender.
    #[schemars(with = "ClientId")]
    pub client_id: String,
    /// The text, as typed: at most 16 KiB of UTF-8.
    #[schemars(with = "Text")]
    pub text: String,
    /// The message to which this message replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The position of the message to which this message replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to_position: Option<Position>,
    /// The metadata that a program added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Metadata>")]
    pub metadata: Option<Json>,
    /// The members at this position whom the text mentions as `<@user id>`, in the order of their user ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
}

/// The sender of a message replaced its text. The event is void if the actor was not a member at this position or the
/// message had been deleted before it. Of two edits, the one with the later position counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageEdited {
    /// The message.
    pub message_id: MessageId,
    /// The position of the message.
    pub message_position: Position,
    /// The idempotency key of the actor, if the command had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ClientId>")]
    pub client_id: Option<String>,
    /// The new text, as typed: at most 16 KiB of UTF-8.
    #[schemars(with = "Text")]
    pub text: String,
    /// The members at this position whom the new text mentions as `<@user id>`, in the order of their user ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
}

macro_rules! of_a_message {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty)? })+) => {$(
        $(#[$doc])*
        ///
        /// The event is void if the actor was not a member at this position or the message had been deleted
        /// before it.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The message.
            pub message_id: MessageId,
            /// The position of the message.
            pub message_position: Position,
            /// The idempotency key of the actor, if the command had one.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schemars(with = "Option<ClientId>")]
            pub client_id: Option<String>,
            $($(#[$field_attribute])* pub $field: $type,)?
        }
    )+};
}

of_a_message! {
    /// The actor deleted a message for all members, with its text, metadata, mentions, earlier versions,
    /// reactions and pin.
    MessageDeleted {}
    /// The actor added a reaction to a message. If the reaction exists already, nothing changes.
    ReactionAdded {
        /// The emoji, fully qualified as Unicode lists it. Old events may lack U+FE0F and mean the same reaction.
        #[schemars(with = "Emoji")]
        emoji: String
    }
    /// The actor removed a reaction.
    ReactionRemoved {
        /// The emoji, fully qualified as Unicode lists it. Old events may lack U+FE0F and mean the same reaction.
        #[schemars(with = "Emoji")]
        emoji: String
    }
    /// The actor pinned a message. If the message is pinned already, nothing changes.
    MessagePinned {}
    /// The actor removed a pin.
    MessageUnpinned {}
}

/// The actor received or read messages. The event has both current positions; a reader keeps the greatest. The event
/// is void if the actor was not a member at this position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptAdvanced {
    /// The position up to which a device of the actor has received everything.
    pub delivered: Position,
    /// The position up to which the actor has read.
    pub read: Position,
}

/// The presence of the actor changed. The stream keeps the event for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceChanged {
    /// The new status of the actor.
    pub status: Status,
    /// When the actor was last online; for `offline`, the end of the last session.
    pub last_seen_at: Time,
}

/// The published description of a type of event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// The name of the type, for example `message.sent`.
    pub word: &'static str,
    /// The lane of all events of this type.
    pub lane: Lane,
    /// The JSON Schema of the data of such an event, with an example.
    pub schema: serde_json::Value,
}

/// Defines the types of an event enum: variant, data, lane, and the name of the type in the log. After `also` come
/// other versions of the type, which are published and read too; their data are converted to the data of the variant.
macro_rules! events {
    ($event:ident: $($variant:ident $data:ident $lane:ident $word:literal $(also $other:literal $other_data:ident)*;)+) => {
        impl $event {
            /// All event types, in the order of the lanes.
            pub const TYPES: &[&str] = &[$($word, $($other,)*)+];

            /// All event types with their lanes and schemas.
            pub fn types() -> Vec<EventType> {
                vec![$(
                    EventType { word: $word, lane: Lane::$lane, schema: schema_of_written::<$data>() },
                    $(EventType { word: $other, lane: Lane::$lane, schema: schema_of_written::<$other_data>() },)*
                )+]
            }

            /// The name of the type: `message.sent`.
            pub fn word(&self) -> &'static str {
                match self { $(Self::$variant(_) => $word),+ }
            }

            /// The lane of the event.
            pub fn lane(&self) -> Lane {
                match self { $(Self::$variant(_) => Lane::$lane),+ }
            }

            /// The data of the event as JSON text.
            pub fn data(&self) -> serde_json::Result<Vec<u8>> {
                match self { $(Self::$variant(data) => serde_json::to_vec(data)),+ }
            }

            /// Reads an event back; `None` for a type of a newer version.
            pub fn read(word: &str, data: &[u8]) -> Option<serde_json::Result<Self>> {
                Some(match word {
                    $(
                        $word => serde_json::from_slice::<$data>(data).map(Self::$variant),
                        $($other => serde_json::from_slice::<$other_data>(data).map(|other| Self::$variant(other.into())),)*
                    )+
                    _ => return None,
                })
            }
        }
    };
}
#[cfg(test)]
pub(in crate::domain) use events;

events! {
    Event:
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
    ContentErased ContentErased Control "content.erased";
    PresenceChanged PresenceChanged Presence "presence.changed";
}
