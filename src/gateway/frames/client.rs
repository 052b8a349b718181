//! What a client says in `verbatim.v1`: JSON text, one object each, `op` first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{ClientId, ConversationId, Emoji, MessageId, Metadata, Position, Status, Text},
    gateway::frames::filter::Filter,
};

/// The longest `id` of a client's frame that is echoed, in bytes.
pub const MAX_ID: usize = 64;
/// What a cursor looks like in examples; nobody but the server reads one.
pub(in crate::gateway::frames) const CURSOR: &str = "AZIIfR8MmkvjYlih0POyxJV-aA";

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "op")]
pub enum ClientFrame {
    /// The first frame: begins the session.
    Hello {
        /// Comes back in `ready`.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where to go on from.
        #[serde(default)]
        #[schemars(example = CURSOR)]
        cursor: Option<String>,
        /// What this socket wants to hear of, for as long as it lives; without it, everything.
        #[serde(default)]
        filter: Option<Filter>,
    },
    /// Sends a message; answered with `ack`.
    Send {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// The idempotency key: the same at every retry.
        client_id: ClientId,
        /// As typed: at most 16 KiB of UTF-8. Members are mentioned as `<@user id>`.
        text: Text,
        /// The message that it answers.
        #[serde(default)]
        reply_to: Option<MessageId>,
        /// What programs add. It comes back as it was sent, each digit of its numbers too.
        #[serde(default)]
        metadata: Option<Metadata>,
    },
    /// Puts another text in the place of a message of one's own; answered with `ack`.
    Edit {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// As typed: at most 16 KiB of UTF-8.
        text: Text,
    },
    /// Deletes a message for all; answered with `ack`.
    Delete {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Reacts to a message; answered with `ack`.
    React {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// One emoji of at most 64 bytes of UTF-8; with or without U+FE0F it is the same.
        emoji: Emoji,
    },
    /// Takes a reaction back; answered with `ack`.
    Unreact {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
        /// One emoji of at most 64 bytes of UTF-8; with or without U+FE0F it is the same.
        emoji: Emoji,
    },
    /// Pins a message; answered with `ack`.
    Pin {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Unpins a message; answered with `ack`.
    Unpin {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Which message.
        message_id: MessageId,
        /// The idempotency key, if there is one.
        #[serde(default)]
        client_id: Option<ClientId>,
    },
    /// Everything up to a position has been read; answered with `ack`.
    Read {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Up to here.
        position: Position,
    },
    /// Everything up to a position has reached the device; answered with `ack`.
    Delivered {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
        /// Up to here.
        position: Position,
    },
    /// The user is typing; at most one a second goes on.
    Typing {
        /// Comes back in an error.
        #[serde(default)]
        id: Option<FrameId>,
        /// Where.
        conversation_id: ConversationId,
    },
    /// Whether anybody looks at this session.
    Presence {
        /// Comes back in an error.
        #[serde(default)]
        id: Option<FrameId>,
        /// `online` or `away`.
        status: Seen,
    },
    /// Renews the session with a fresh access token of the same user; answered with `ack`.
    Authenticate {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
        /// The access token.
        #[schemars(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9…")]
        token: String,
    },
    /// Answered with `pong`.
    Ping {
        /// Comes back in the answer.
        #[serde(default)]
        id: Option<FrameId>,
    },
}

/// What a session may say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// In use.
    Online,
    /// Nobody looks.
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

/// A client's own name for a frame, up to [`MAX_ID`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("maxLength" = MAX_ID, "examples" = ["7"]))]
pub struct FrameId(String);

impl TryFrom<String> for FrameId {
    type Error = &'static str;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        if id.len() > MAX_ID { Err("id: at most 64 bytes are echoed") } else { Ok(Self(id)) }
    }
}
