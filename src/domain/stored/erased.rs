//! Erased content: what an erasure says in the log about the positions that it empties, and what readers are given in
//! their place. An entry is the skeleton of an event: its ids, its times and its type, and nothing that a person typed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::domain::{
    ConversationId, Event, EventId, Json, Lane, LoginId, MessageId, MessageSent, Position, Recorded, Time,
    UserId,
};

/// The most entries of one event, which so stays below 64 KiB.
pub const MOST_ERASED: usize = 200;

/// Events of this conversation were erased. From this position on every reader treats their positions as known to be
/// empty; whoever keeps a copy of these events deletes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentErased {
    /// The request for the erasure.
    #[schemars(with = "LoginId")]
    pub request_id: Uuid,
    /// Why: `request`, `retention`, `expiry` or `moderation`.
    #[schemars(example = &"request")]
    pub reason: String,
    /// The erased events, at most 200, in the order of their positions.
    pub erased: Vec<ErasedEntry>,
}

/// What stays of an erased event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "ErasedEntry")]
pub struct ErasedEntry {
    /// The position of the event.
    pub position: Position,
    /// The id of the event.
    pub id: EventId,
    /// The type of the event, like `message.sent`.
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
    /// A hash of user, conversation and idempotency key, by which a retry of the erased command is known for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"vT3x0kXb1q8cE5fHj2mN4pQr")]
    pub client_hash: Option<String>,
    /// Whether the event counted: an event of a user who was no member is void.
    pub counts: bool,
    /// The data of the event without its title, for an event of the roster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>", skip)]
    pub data: Option<Json>,
}

/// The erasure of an event, as the skeleton of the event carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The position of `content.erased`, behind the erased event in the same conversation.
    pub told_at: Position,
    /// When the event was erased.
    pub at: Time,
    /// The hash of the idempotency key of the erased command.
    pub client_hash: Option<String>,
}

impl ErasedEntry {
    /// The entry for an event; `None` for an event that holds nothing that a person typed. The hash of its key is the
    /// caller's to make.
    pub fn of(recorded: &Recorded, counts: bool, client_hash: Option<String>) -> Option<Self> {
        let mut entry = Self {
            position: recorded.position,
            id: recorded.id,
            kind: recorded.word.clone(),
            lane: recorded.lane.word().to_owned(),
            actor: recorded.actor,
            time: recorded.time,
            message_id: None,
            message_position: None,
            client_hash,
            counts,
            data: None,
        };
        match recorded.event.as_ref()? {
            Event::MessageSent(sent) => entry.message_id = Some(sent.message_id),
            Event::MessageEdited(edited) => {
                entry.message_id = Some(edited.message_id);
                entry.message_position = Some(edited.message_position);
            }
            _ => return None,
        }
        Some(entry)
    }

    /// What readers are given in place of the erased event. A message has no text any more, and the views show it as
    /// deleted; an edit says nothing any more, and keeps its place in the chain.
    pub fn skeleton(&self, conversation: ConversationId, told_at: Position, at: Time) -> Recorded {
        let said = self.data.as_ref().map_or_else(
            || json!({ "message_id": self.message_id, "erased": true }).to_string(),
            |data| data.as_str().to_owned(),
        );
        let event = match (self.kind.as_str(), self.message_id) {
            ("message.sent", Some(message_id)) => Some(Event::MessageSent(MessageSent {
                message_id,
                client_id: String::new(),
                text: String::new(),
                reply_to: None,
                reply_to_position: None,
                metadata: None,
                mentions: Vec::new(),
            })),
            (word, _) if self.data.is_some() => {
                Event::read(word, said.as_bytes()).and_then(serde_json::Result::ok)
            }
            _ => None,
        };
        Recorded {
            position: self.position,
            conversation,
            lane: Lane::named(&self.lane).unwrap_or(Lane::Timeline),
            id: self.id,
            actor: self.actor,
            via: None,
            time: self.time,
            word: self.kind.clone(),
            event,
            data: said.into(),
            poison: None,
            erased: Some(Erasure { told_at, at, client_hash: self.client_hash.clone() }.into()),
        }
    }
}
