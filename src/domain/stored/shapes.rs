//! The published shapes of events as clients see them: one shape for each type, so that a code generator
//! makes a union discriminated by `type`.

use serde_json::{Map, Value, json};

use crate::domain::{Event, EventType, Lane};

/// A copy of the shape of an event for each type that is kept forever. In a copy, `type` allows one word, and
/// `data` is the schema that the caller gives for that type. Presence has no copy, because presence events
/// are kept for an hour only and have a frame of their own.
pub(crate) fn shapes_by_type(shape: &Value, data: impl Fn(&EventType) -> Value) -> Vec<(EventType, Value)> {
    let lasting = Event::types().into_iter().filter(|of| of.lane != Lane::Presence);
    let shaped = lasting.map(|of| {
        let mut shape = shape.clone();
        shape["description"] = of.schema["description"].clone();
        shape["properties"]["type"] =
            json!({ "type": "string", "enum": [of.word], "description": "The type of the event." });
        let data = data(&of);
        shape["properties"]["data"] =
            if can_lose_text(of.word) { json!({ "oneOf": [data, erased_data()] }) } else { data };
        if let Some(example) = shape.pointer_mut("/examples/0") {
            example["type"] = of.word.into();
            example["data"] = of.schema["examples"][0].clone();
        }
        (of, shape)
    });
    shaped.collect()
}

/// Whether events of a type can lose their text: messages and edits, in every version of their types.
fn can_lose_text(word: &str) -> bool {
    let version = word.rsplit_once(".v").filter(|(_, version)| version.parse::<u32>().is_ok());
    ["message.sent", "message.edited"].contains(&version.map_or(word, |(name, _)| name))
}

/// The data of a message or an edit that has lost its text: it was erased, its retention is over, or it is an edit of a
/// message that the reader may not read.
fn erased_data() -> Value {
    json!({
        "title": "ErasedData",
        "type": "object",
        "description": "What is left of a message or an edit whose text is gone.",
        "properties": {
            "message_id": { "type": "string", "format": "uuid", "description": "The id of the message." },
            "erased": { "type": "boolean", "const": true, "description": "Always `true`." },
        },
        "required": ["message_id", "erased"],
        "examples": [{ "message_id": "019313b3-9a40-7000-8000-00000000a5c1", "erased": true }],
    })
}

/// Moves each object with a title, at any depth within the schemas, into a schema of its own, named after the
/// title. A code generator then names the type after the title, and not after the path to the object.
pub(crate) fn name_models(schemas: &mut Map<String, Value>) {
    let mut named = Map::new();
    for schema in schemas.values_mut() {
        parts(schema).for_each(|part| take_models(part, &mut named));
    }
    schemas.extend(named);
}

fn take_models(schema: &mut Value, named: &mut Map<String, Value>) {
    parts(schema).for_each(|part| take_models(part, named));
    let title = schema.get("title").and_then(Value::as_str).map(str::to_owned);
    let Some(title) = title.filter(|_| schema.get("properties").is_some()) else { return };
    let reference = json!({ "$ref": format!("#/components/schemas/{title}") });
    let can_be_null = schema["type"].is_array();
    let mut model = std::mem::replace(schema, reference.clone());
    if can_be_null {
        *schema = json!({ "anyOf": [reference, { "type": "null" }] });
        model["type"] = "object".into();
    }
    named.insert(title, model);
}

/// The schemas directly within a schema.
fn parts(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    let members = schema.as_object_mut().into_iter().flatten();
    members.flat_map(|(keyword, value)| match (keyword.as_str(), value) {
        ("properties", Value::Object(properties)) => properties.values_mut().collect(),
        ("oneOf" | "anyOf" | "allOf", Value::Array(all)) => all.iter_mut().collect(),
        ("items", item) => vec![item],
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_a_shape_with_its_word_and_its_data() {
        let shape =
            json!({ "properties": { "id": {}, "type": {}, "data": {} }, "examples": [{ "id": "1" }] });
        let shapes = shapes_by_type(&shape, |of| json!({ "title": of.word }));
        assert_eq!(shapes.len(), Event::TYPES.len() - 1, "all but presence");
        for (of, shape) in shapes {
            assert_eq!(shape["properties"]["id"], json!({}));
            assert_eq!(shape["properties"]["type"]["enum"], json!([of.word]));
            let data = json!({ "title": of.word });
            let either = json!({ "oneOf": [data, erased_data()] });
            let is_message = ["message.sent", "message.edited"].contains(&of.word);
            assert_eq!(shape["properties"]["data"], if is_message { either } else { data });
            let example = json!({ "id": "1", "type": of.word, "data": of.schema["examples"][0] });
            assert_eq!(shape["examples"][0], example);
        }
    }

    #[test]
    fn every_version_of_a_message_can_lose_its_text() {
        let all =
            ["message.sent", "message.edited.v2", "message.sent.v10", "message.sent.vat", "member.added.v2"];
        assert_eq!(all.map(can_lose_text), [true, true, true, false, false]);
    }

    #[test]
    fn an_object_with_a_title_gets_a_name() {
        let inner =
            json!({ "title": "Inner", "type": "object", "properties": { "x": { "title": "no object" } } });
        let mut maybe = inner.clone();
        maybe["type"] = json!(["object", "null"]);
        let mut schemas = Map::new();
        let of = json!({ "title": "outer", "properties": { "one": maybe, "all": { "items": inner } } });
        schemas.insert("Outer".into(), of);
        name_models(&mut schemas);
        let reference = json!({ "$ref": "#/components/schemas/Inner" });
        let properties =
            json!({ "one": { "anyOf": [reference, { "type": "null" }] }, "all": { "items": reference } });
        assert_eq!(schemas["Outer"], json!({ "title": "outer", "properties": properties }));
        assert_eq!(schemas["Inner"], inner);
    }
}
