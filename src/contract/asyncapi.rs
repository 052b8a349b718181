//! The AsyncAPI document: what is published on NATS and said over WebSockets. Each edge describes
//! itself; here the halves become one document.

mod yaml;

use serde_json::{Map, Value, json};

use crate::{gateway, log};

const DESCRIPTION: &str = "\
The chat backend that keeps every word, in order, once, and can prove it.

Every event is a CloudEvents 1.0 event in JetStream. Types are only ever added, and so are optional fields: \
readers ignore what they do not know. Compare positions within one conversation only.";

/// The document.
pub fn document() -> Value {
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Verbatim",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
    });
    for half in [log::channels(), gateway::channels()] {
        merge(&mut document, half);
    }
    document
}

/// The document as it is committed and printed.
pub fn text() -> String {
    let order = ["asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components"];
    yaml::write(&document(), &order)
}

/// Puts the members of one object into another, within members that both have too.
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
        let read: Value = serde_yaml::from_str(&text()).expect("it is YAML");
        assert_eq!(read, document());
    }

    #[test]
    fn halves_become_one() {
        let mut one = json!({ "channels": { "a": 1 }, "info": "kept" });
        merge(&mut one, json!({ "channels": { "b": [2] }, "servers": {} }));
        assert_eq!(one, json!({ "channels": { "a": 1, "b": [2] }, "info": "kept", "servers": {} }));
    }
}
