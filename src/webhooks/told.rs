//! An event as a receiver is told it: a CloudEvent in structured mode, so that all that matters is signed.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    domain::{Position, Recorded},
    log::{PublicUrl, read_type_name},
};

/// An event that counts.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The event.
    pub(super) recorded: Recorded,
    /// The position before it in the chain of its conversation.
    pub(super) previous: Position,
}

#[derive(Serialize)]
struct Body<'a> {
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
    previous: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Told {
    /// The body of its request; thin: without the data.
    pub(super) fn body(&self, public_url: Option<&PublicUrl>, is_thin: bool) -> Bytes {
        let Recorded { position, conversation, id, actor, via, time, word, data, .. } = &self.recorded;
        let kind = read_type_name(word);
        let data = (!is_thin).then(|| serde_json::from_slice(data).ok()).flatten();
        let body = Body {
            specversion: "1.0",
            id: id.to_string(),
            dataschema: public_url.map(|url| url.schema(&kind)),
            r#type: kind,
            source: format!("/conversations/{conversation}"),
            time: time.to_string(),
            datacontenttype: "application/json",
            actor: actor.to_string(),
            via: via.map(|via| via.to_string()),
            conversationid: conversation.to_string(),
            position: *position,
            previous: self.previous,
            data,
        };
        serde_json::to_vec(&body).expect("texts and numbers are JSON").into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::ConversationId;

    #[test]
    fn the_body_is_a_structured_cloud_event_with_its_place_in_the_chain() {
        let conversation = "01930f3d-0c11-7a52-9b3e-4d5f60718293".parse::<ConversationId>().expect("an id");
        let mut recorded = Recorded::meaningless(9, conversation, 0);
        recorded.data = Bytes::from_static(br#"{"a":1.50}"#);
        recorded.word = "message.sent.v2".into();
        let mut told = Told { recorded, previous: Position(7) };
        let url = "https://chat.example.com".parse().expect("a URL");
        let body = told.body(Some(&url), false);
        assert!(body.ends_with(br#""data":{"a":1.50}}"#), "the data are as they were stored: {body:?}");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_eq!(
            body,
            json!({
                "specversion": "1.0", "id": nil, "type": "verbatim.message.sent.v2",
                "source": format!("/conversations/{conversation}"), "time": "1970-01-01T00:00:00.000Z",
                "datacontenttype": "application/json",
                "dataschema": "https://chat.example.com/schemas/verbatim.message.sent.v2.json", "actor": nil,
                "conversationid": conversation, "position": 9, "previous": 7, "data": { "a": 1.5 },
            })
        );
        told.recorded.via = nil.parse().ok().or(Some(told.recorded.actor));
        let thin: Value = serde_json::from_slice(&told.body(None, true)).expect("JSON");
        assert!(thin.get("data").is_none() && thin.get("dataschema").is_none() && thin["via"] == nil);
    }
}
