//! An event as it is sent to a receiver: a CloudEvent in structured mode, so that everything that matters is signed.

use bytes::Bytes;

use crate::{
    domain::{Position, Recorded},
    log::{EventData, PublicUrl, structured},
};

/// An event that counts.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The event.
    pub(super) recorded: Recorded,
    /// The position of the event before it in its conversation.
    pub(super) previous: Position,
}

impl Told {
    /// The body of the request; a thin body has no data.
    pub(super) fn body(&self, public_url: Option<&PublicUrl>, is_thin: bool) -> Bytes {
        let data = if is_thin { EventData::None } else { EventData::Stored };
        structured(&self.recorded, Some(self.previous), public_url, data).into()
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
