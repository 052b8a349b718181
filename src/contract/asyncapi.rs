//! The AsyncAPI document: messages on NATS, and frames on WebSockets. Each edge describes itself, and this file merges
//! the parts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{domain, gateway, log, responder};

const DESCRIPTION: &str = "\
The chat backend that keeps every word, in order, once, and can prove it.

Every event is a CloudEvents 1.0 event in JetStream. Later versions add types and optional fields, and never remove any: \
a reader ignores types and fields that it does not know. Positions compare only within one conversation. The description of \
the OpenAPI document has a table of the words that REST, frames and events use for the same thing.";

/// The document.
pub fn document() -> Value {
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Verbatim",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "tags": [
                { "name": "nats", "description": "Events for programs that read the log, and commands" },
                { "name": "websocket", "description": "Frames between a client and the gateway" },
            ],
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
    });
    for part in [log::channels(), gateway::channels(), responder::channels()] {
        merge(&mut document, part);
    }
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        domain::name_models(schemas);
    }
    domain::sign_integers(&mut document);
    document
}

/// The document as YAML, the committed and printed form.
pub fn text() -> String {
    let parts = Parts::deserialize(document()).expect("the document has all of its parts");
    serde_saphyr::to_string(&parts).expect("JSON values have string keys, so they are YAML")
}

/// The parts of the document in the order in which people read them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts {
    asyncapi: Value,
    info: Value,
    default_content_type: Value,
    servers: Value,
    channels: Value,
    operations: Value,
    components: Value,
}

/// Merges one object into another, member by member at every depth.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_document() {
        let read: Value = serde_saphyr::from_str(&text()).expect("it is YAML");
        assert_eq!(read, document());
    }

    #[test]
    fn parts_become_one() {
        let mut one = json!({ "channels": { "a": 1 }, "info": "kept" });
        merge(&mut one, json!({ "channels": { "b": [2] }, "servers": {} }));
        assert_eq!(one, json!({ "channels": { "a": 1, "b": [2] }, "info": "kept", "servers": {} }));
    }
}
