//! Reads a client's frame, or explains why the frame cannot be understood.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{
        DeserializeOwned, Error as _,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};
use serde_json::{error::Category, value::RawValue};

use crate::{
    domain::{ClientId, ConversationId, Emoji, Fields, MessageId, Metadata, Position, Text, word},
    gateway::frames::{
        client::{ClientFrame, FrameId, Seen},
        filter::Filter,
    },
};

/// The most characters in the explanation of a bad frame, so that a long text from a client is not echoed in full.
pub(super) const DETAIL: usize = 300;

/// A frame that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame {
    /// The id of the frame, if it can be echoed.
    pub id: Option<FrameId>,
    /// What is wrong with the frame, and the correct form.
    pub detail: String,
    /// Whether the frame has an id and only a value is wrong. This may be the fault of a user, whose text is empty for
    /// example, and not of the client.
    pub is_command: bool,
}

impl ClientFrame {
    /// Reads a frame from JSON text.
    pub fn read(text: &str) -> Result<Self, BadFrame> {
        #[derive(Deserialize)]
        struct Named {
            id: Option<FrameId>,
        }
        tagged(text).map_err(|e| {
            let id = serde_json::from_str(text).ok().and_then(|named: Named| named.id);
            let wrong = wrong_field(text);
            let is_command = id.is_some() && wrong.is_some();
            let detail = wrong.unwrap_or_else(|| wrong_frame(&e));
            BadFrame { id, detail: detail.chars().take(DETAIL).collect(), is_command }
        })
    }
}

/// Reads an object whose field `op` names the kind of frame. Serde's built-in support for such a tag buffers the
/// other fields as values, and a value cannot hold a number with more digits than a machine number.
fn tagged(text: &str) -> serde_json::Result<ClientFrame> {
    if !text.trim_start().starts_with('{') {
        return Err(serde_json::Error::custom("a frame is a JSON object"));
    }
    let Fields(mut fields) = serde_json::from_str(text)?;
    let op = fields.iter().position(|(name, _)| name == "op");
    let (_, op) = fields.remove(op.ok_or_else(|| serde_json::Error::missing_field("op"))?);
    let op: String = serde_json::from_str(op.get())?;
    let frame = MapDeserializer::new(std::iter::once((op, MapDeserializer::new(fields.into_iter()))));
    ClientFrame::deserialize(MapAccessDeserializer::new(frame))
}

/// Says what is wrong with a frame whose values are right, as far as they have a field.
fn wrong_frame(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => error.to_string().replacen("unknown variant", "op: unknown frame", 1),
        Category::Io | Category::Syntax | Category::Eof => format!("not JSON: {error}"),
    }
}

/// A status as the field of a frame holds it.
#[derive(Deserialize)]
struct Word(
    #[serde(deserialize_with = "word")]
    #[expect(dead_code)]
    Seen,
);

/// Finds the field that has a wrong value and says what is wrong with it, because serde does not name the field.
fn wrong_field(text: &str) -> Option<String> {
    fn why<T: DeserializeOwned>(value: &RawValue) -> Option<String> {
        let why = serde_json::from_str::<T>(value.get()).err()?.to_string();
        // The location is relative to the value, not to the frame, so it is cut off.
        let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why);
        if why.contains("hex escape") {
            return Some("half of a surrogate pair is not a character: remove it".into());
        }
        Some(match why.strip_prefix("invalid type").and_then(|why| why.split_once(", expected ")) {
            Some((_, "u64")) => "must be a whole number".into(),
            Some((_, "struct Filter")) => "must be an object".into(),
            Some((_, "a sequence")) => "must be a list".into(),
            Some((_, expected)) => format!("must be {expected}"),
            None => why.to_owned(),
        })
    }
    let Fields(fields) = serde_json::from_str(text).ok()?;
    let wrong = |(name, value): &(Cow<str>, &RawValue)| {
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
            "status" => why::<Word>(value),
            "filter" => why::<Filter>(value),
            _ => None,
        };
        wrong.map(|why| format!("{name}: {why}"))
    };
    // Many fields may be null. A required field that is null is blamed only if no other value is wrong.
    let (null, other): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| value.get() == "null");
    let needed = |name: &str| match name {
        "id" | "cursor" | "filter" | "reply_to" | "metadata" => false,
        "client_id" => fields.iter().any(|(name, value)| name == "op" && value.get() == r#""send""#),
        _ => true,
    };
    other
        .into_iter()
        .find_map(wrong)
        .or_else(|| null.into_iter().filter(|(name, _)| needed(name)).find_map(wrong))
}
