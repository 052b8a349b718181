//! Reading a client's frame, and what is said of one that cannot be understood.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{ClientFrame, FrameId, Seen};
use crate::{
    domain::{ClientId, ConversationId, Emoji, MessageId, Metadata, Position, Text},
    gateway::filter::Filter,
};

/// The most characters of what is said of a frame that was not understood: a client's own text is not sent
/// back at length.
pub(super) const DETAIL: usize = 300;

/// A frame that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame {
    /// Its id, if it can be echoed.
    pub id: Option<FrameId>,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl ClientFrame {
    /// Reads a frame.
    pub fn read(text: &str) -> Result<Self, BadFrame> {
        #[derive(Deserialize)]
        struct Named {
            id: Option<FrameId>,
        }
        // Serde would also take an array whose first element is the tag.
        let read = match text.trim_start().starts_with('{') {
            true => serde_json::from_str(text),
            false => Err(serde::de::Error::custom("a frame is a JSON object")),
        };
        read.map_err(|e: serde_json::Error| {
            let id = serde_json::from_str(text).ok().and_then(|named: Named| named.id);
            let detail = wrong_field(text).unwrap_or_else(|| e.to_string());
            BadFrame { id, detail: detail.chars().take(DETAIL).collect() }
        })
    }
}

/// Which field has a wrong value, and why: of an object with a tag serde does not tell.
fn wrong_field(text: &str) -> Option<String> {
    fn why<T: DeserializeOwned>(value: &Value) -> Option<serde_json::Error> {
        T::deserialize(value).err()
    }
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let wrong = |(name, value): (&String, &Value)| {
        let wrong = match &**name {
            "op" | "cursor" | "token" => why::<String>(value),
            "id" => why::<FrameId>(value),
            "conversation_id" => why::<ConversationId>(value),
            "message_id" | "reply_to" => why::<MessageId>(value),
            "client_id" => why::<ClientId>(value),
            "text" => why::<Text>(value),
            "metadata" => why::<Metadata>(value),
            "emoji" => why::<Emoji>(value),
            "position" => why::<Position>(value),
            "status" => why::<Seen>(value),
            "filter" => why::<Filter>(value),
            _ => None,
        };
        wrong.map(|why| format!("{name}: {why}"))
    };
    // Many fields may be null; one that may not is to blame only if no other value is wrong.
    let (null, other): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| value.is_null());
    let needed = |name: &str| match name {
        "id" | "cursor" | "filter" | "reply_to" | "metadata" => false,
        "client_id" => fields.get("op").is_some_and(|op| op == "send"),
        _ => true,
    };
    other
        .into_iter()
        .find_map(wrong)
        .or_else(|| null.into_iter().filter(|(name, _)| needed(name)).find_map(wrong))
}
