//! Erased content: the event by which an erasure names the positions that it empties, and the entries that are left of
//! the erased events. An entry is the skeleton of an event: its ids, times and type, and nothing that a person typed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{EventId, Json, LoginId, MessageId, Position, Time, UserId};

/// Events of this conversation were erased. From this position on, every reader treats their positions as known to be
/// empty. A program that keeps copies of these events deletes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentErased {
    /// The request for the erasure.
    #[schemars(with = "LoginId")]
    pub request_id: Uuid,
    /// The reason: `request`, `retention`, `expiry` or `moderation`.
    #[schemars(example = &"request")]
    pub reason: String,
    /// The erased events, at most 200, in the order of their positions.
    pub erased: Vec<ErasedEntry>,
}

impl ContentErased {
    /// The positions of the events whose titles are erased.
    pub fn titles(&self) -> impl Iterator<Item = Position> + '_ {
        self.erased.iter().filter(|entry| entry.data.is_some()).map(|entry| entry.position)
    }
}

/// What is left of an erased event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "ErasedEntry")]
pub struct ErasedEntry {
    /// The position of the event.
    pub position: Position,
    /// The id of the event.
    pub id: EventId,
    /// The type of the event, such as `message.sent`.
    #[serde(rename = "type")]
    #[schemars(example = &"message.sent")]
    pub kind: String,
    /// The lane of the event.
    #[schemars(example = &"timeline")]
    pub lane: String,
    /// The user who caused the event.
    pub actor: UserId,
    /// The time of the event.
    pub time: Time,
    /// The message, for an event about a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The position of the message, for an edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_position: Option<Position>,
    /// A hash of user, conversation and idempotency key, by which a retry of the erased command is recognised
    /// forever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"vT3x0kXb1q8cE5fHj2mN4pQr")]
    pub client_hash: Option<String>,
    /// Whether the event counted: an event of a user who was not a member is void.
    #[schemars(example = true)]
    pub counts: bool,
    /// The data of the event without the title, for an event of the lane `roster`. Only the title of such an event is
    /// erased: from there on the conversation has no title until a later event sets another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub data: Option<Json>,
}

impl ErasedEntry {
    /// Whether the event was a message itself, in whatever version of its type: an edit names the position of its
    /// message too, and all other events name no message.
    pub fn is_message(&self) -> bool {
        self.message_id.is_some() && self.message_position.is_none()
    }
}

/// The erasure of an event, as the skeleton of the event carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The position of `content.erased`, after the erased event in the same conversation.
    pub told_at: Position,
    /// When the event was erased.
    pub at: Time,
    /// The hash of the idempotency key of the erased command.
    pub client_hash: Option<String>,
}
