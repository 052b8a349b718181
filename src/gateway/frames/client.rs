//! The frames that a client sends in `verbatim.v1`: JSON text, one object each, `op` first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    credentials::Scope,
    domain::{ClientId, ConversationId, Emoji, MessageId, Metadata, Position, Status, Text, word},
    gateway::frames::filter::Filter,
    overload::WorkKind,
};

/// The longest `id` of a client's frame, in characters. The server echoes the id, so it has to be short.
pub const MAX_ID: usize = 64;
/// A cursor for examples. Only the server can read cursors.
pub(in crate::gateway::frames) const CURSOR: &str = "AZIIfR8MmkvjYlih0POyxJV-aA";

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "op")]
pub enum ClientFrame {
    /// Begins the session. This must be the first frame on a socket.
    Hello {
        /// The id of this frame, echoed in `ready`.
        #[serde(default)]
        id: Option<FrameId>,
        /// The cursor to resume from. A cursor of a socket with a filter passes over the events of all other
        /// conversations: without the same filter, the client misses these events.
        #[serde(default)]
        #[schemars(example = CURSOR)]
        cursor: Option<String>,
        /// Limits this socket to some conversations for as long as it is open. Without a filter, the socket covers
        /// all conversations of the user. Resume from a cursor of this socket with the same filter.
        #[serde(default)]
        filter: Option<Filter>,
    },
    /// Sends a message. The answer is `ack`.
    Send {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The idempotency key: the same for every retry.
        client_id: ClientId,
        /// The text: at most 16 KiB of UTF-8, kept exactly as typed. To mention a member, write `<@user id>`.
        text: Text,
        /// The message to which this message replies, in the same conversation.
        #[serde(default)]
        reply_to: Option<MessageId>,
        /// Metadata for programs. The server returns it exactly as sent, with every digit of its numbers.
        #[serde(default)]
        metadata: Option<Metadata>,
    },
    /// Replaces the text of one of the user's messages. The answer is `ack`.
    Edit {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// The new text: at most 16 KiB of UTF-8, kept exactly as typed.
        text: Text,
    },
    /// Deletes a message for all members. The answer is `ack`.
    Delete {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Adds a reaction to a message. The answer is `ack`.
    React {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// One emoji or one visible character, of at most 64 bytes of UTF-8. With or without U+FE0F, an emoji is the
        /// same reaction.
        emoji: Emoji,
    },
    /// Removes one of the user's reactions. The answer is `ack`.
    Unreact {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// One emoji or one visible character, of at most 64 bytes of UTF-8. With or without U+FE0F, an emoji is the
        /// same reaction.
        emoji: Emoji,
    },
    /// Pins a message. The answer is `ack`.
    Pin {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Removes a pin. The answer is `ack`.
    Unpin {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        message_id: MessageId,
        /// The idempotency key: the same for every retry.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Marks everything up to a position as read. The answer is `ack`.
    Read {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The position.
        position: Position,
    },
    /// Marks everything up to a position as received by the device. The answer is `ack`.
    Delivered {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
        /// The position.
        position: Position,
    },
    /// Tells the other members that the user is typing. The server passes on two such frames at once, then one in 3 s.
    Typing {
        /// The id of this frame, echoed if the server answers with an error.
        #[serde(default)]
        id: Option<FrameId>,
        /// The conversation.
        conversation_id: ConversationId,
    },
    /// Reports whether the session is in use.
    Presence {
        /// The id of this frame, echoed if the server answers with an error.
        #[serde(default)]
        id: Option<FrameId>,
        /// The new status of the session.
        #[serde(deserialize_with = "word")]
        status: Seen,
    },
    /// Renews the session with a fresh access token of the same user. The answer is `ack`. The token may be of another
    /// login. From then on, its login, its scopes and its expiry count for the session, and not those of the earlier
    /// token.
    Authenticate {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The access token.
        #[schemars(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9…")]
        token: String,
    },
    /// Checks that the connection is alive. The answer is `pong`.
    Ping {
        /// The id of this frame, echoed in the answer.
        #[serde(default)]
        id: Option<FrameId>,
    },
}

impl ClientFrame {
    /// The id that the client gave the frame, if any.
    pub fn id(&self) -> Option<&FrameId> {
        match self {
            Self::Hello { id, .. }
            | Self::Send { id, .. }
            | Self::Edit { id, .. }
            | Self::Delete { id, .. }
            | Self::React { id, .. }
            | Self::Unreact { id, .. }
            | Self::Pin { id, .. }
            | Self::Unpin { id, .. }
            | Self::Read { id, .. }
            | Self::Delivered { id, .. }
            | Self::Typing { id, .. }
            | Self::Presence { id, .. }
            | Self::Authenticate { id, .. }
            | Self::Ping { id } => id.as_ref(),
        }
    }

    /// The op of the frame.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Send { .. } => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Unreact { .. } => "unreact",
            Self::Pin { .. } => "pin",
            Self::Unpin { .. } => "unpin",
            Self::Read { .. } => "read",
            Self::Delivered { .. } => "delivered",
            Self::Typing { .. } => "typing",
            Self::Presence { .. } => "presence",
            Self::Authenticate { .. } => "authenticate",
            Self::Ping { .. } => "ping",
        }
    }

    /// Whether the frame may be dropped without an answer, because only the latest of its kind matters.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Typing { .. } | Self::Presence { .. })
    }

    /// The kind of work that an overloaded node may refuse. `None` for a frame that it never refuses.
    pub fn work(&self) -> Option<WorkKind> {
        match self {
            Self::Typing { .. } => Some(WorkKind::Typing),
            Self::Presence { .. } => Some(WorkKind::Presence),
            Self::Read { .. } | Self::Delivered { .. } => Some(WorkKind::Receipts),
            Self::Send { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Unreact { .. }
            | Self::Pin { .. }
            | Self::Unpin { .. } => Some(WorkKind::Send),
            Self::Hello { .. } | Self::Authenticate { .. } | Self::Ping { .. } => None,
        }
    }

    /// The scope that the frame needs in addition to [`Scope::EventsRead`], which the socket needs.
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Send { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::Unreact { .. }
            | Self::Pin { .. }
            | Self::Unpin { .. }
            | Self::Typing { .. } => Some(Scope::MessagesWrite),
            Self::Read { .. } | Self::Delivered { .. } => Some(Scope::ReceiptsWrite),
            Self::Hello { .. } | Self::Presence { .. } | Self::Authenticate { .. } | Self::Ping { .. } => {
                None
            }
        }
    }
}

/// The status that a session reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// The session is in use.
    Online,
    /// The session is open but not in use.
    Away,
}

impl From<Seen> for Status {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Online => Self::Online,
            Seen::Away => Self::Away,
        }
    }
}

/// An id that the client chooses for a frame, up to [`MAX_ID`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("maxLength" = MAX_ID, "examples" = ["7"]))]
pub struct FrameId(String);

impl TryFrom<String> for FrameId {
    type Error = &'static str;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        match id.chars().nth(MAX_ID) {
            Some(_) => Err("at most 64 characters are echoed"),
            None => Ok(Self(id)),
        }
    }
}
