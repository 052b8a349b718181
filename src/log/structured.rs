//! An event as a CloudEvent in structured mode: one JSON object, for readers who get no headers.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    domain::{Position, Recorded},
    log::{envelope::type_name, public_url::PublicUrl},
};

/// The data of an event in structured mode.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EventData<'a> {
    /// The data as they were stored.
    Stored,
    /// No data.
    None,
    /// Other data than the stored data. The schema of the type does not describe them, so the event names no schema.
    Instead(&'a RawValue),
}

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: String,
    r#type: String,
    source: String,
    time: String,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<String>,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    conversationid: String,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// The JSON of an event; `previous` is the position before it in the chain of its conversation, and `None` for an event
/// that does not count.
pub(crate) fn structured(
    recorded: &Recorded,
    previous: Option<Position>,
    public_url: Option<&PublicUrl>,
    data: EventData<'_>,
) -> Vec<u8> {
    let kind = type_name(&recorded.word);
    let schema = match data {
        EventData::Instead(_) => None,
        EventData::Stored | EventData::None => public_url.map(|url| url.schema(&kind)),
    };
    let event = Structured {
        specversion: "1.0",
        id: recorded.id.to_string(),
        r#type: kind,
        source: format!("/conversations/{}", recorded.conversation),
        time: recorded.time.to_string(),
        datacontenttype: "application/json",
        dataschema: schema,
        actor: recorded.actor.to_string(),
        via: recorded.via.map(|via| via.to_string()),
        conversationid: recorded.conversation.to_string(),
        position: recorded.position,
        previous,
        data: match data {
            EventData::Stored => serde_json::from_slice(&recorded.data).ok(),
            EventData::None => None,
            EventData::Instead(other) => Some(other),
        },
    };
    serde_json::to_vec(&event).expect("texts and numbers are JSON")
}
