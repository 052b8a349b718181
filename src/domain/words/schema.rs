//! JSON Schemas. The schemas of ids, times and texts are written by hand, all in this file. The schemas of
//! events and frames are derived from their types.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value};

use crate::domain::{
    ClientId, ConversationId, Emoji, Epoch, EventId, LoginId, MessageId, Metadata, Position, Text, Time,
    Title, UserId,
};

/// The schema of a type as this program writes it: one object without references and with an example (in a
/// choice, one example for each variant). A field that may be absent is never null.
pub(crate) fn schema_of_written<T: JsonSchema>() -> Value {
    let mut schema = schema_of::<T>(SchemaSettings::draft2020_12().for_serialize());
    drop_null(&mut schema);
    schema
}

/// The schema of a type as this program reads it, in the same form.
pub(crate) fn schema_of_read<T: JsonSchema>() -> Value {
    let mut schema = schema_of::<T>(SchemaSettings::draft2020_12().for_deserialize());
    let either = ID.replace("a-f", "A-Fa-f").replace("ab]", "ABab]");
    read_by(&mut schema, &either);
    schema
}

/// Lets the pattern of ids accept either case, as the parser does.
fn read_by(schema: &mut Value, either: &str) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(|part| read_by(part, either)),
        Value::Object(members) => {
            if let Some(pattern) = members.get_mut("pattern").filter(|pattern| *pattern == ID) {
                *pattern = either.into();
            }
            members.values_mut().for_each(|part| read_by(part, either));
        }
        _ => {}
    }
}

fn schema_of<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with(|s| s.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    gather_choices(&mut schema);
    match schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        Some(choices) => choices.iter_mut().for_each(add_example),
        None => add_example(&mut schema),
    }
    schema
}

fn add_example(schema: &mut Value) {
    let example = example(schema);
    if let Value::Object(members) = schema {
        members.insert("examples".to_owned(), Value::Array(vec![example]));
    }
}

/// Removes `null` from the types of optional fields: the derived schema allows null, but an absent field is left out.
/// Only a required field can be null.
fn drop_null(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(drop_null),
        Value::Object(members) => {
            let required = members.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            let fields = members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
            for (_, field) in fields.filter(|(name, _)| !required.contains(&name.as_str().into())) {
                if let Some([only, Value::String(null)]) = field["type"].as_array().map(Vec::as_slice)
                    && null == "null"
                {
                    field["type"] = only.clone();
                }
            }
            members.values_mut().for_each(drop_null);
        }
        _ => {}
    }
}

/// Replaces the formats of unsigned integers, at any depth. Code generators know only `int32` and `int64`, and take any
/// other format for 32 bits, which are too few for some of our numbers.
pub(crate) fn sign_integers(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(sign_integers),
        Value::Object(members) => {
            let signed = match members.get("format").and_then(Value::as_str) {
                Some("uint8" | "uint16") => Some("int32"),
                Some("uint32" | "uint64" | "uint") => Some("int64"),
                _ => None,
            };
            if let Some(signed) = signed {
                members.insert("format".to_owned(), signed.into());
                members.entry("minimum").or_insert(0.into());
            }
            members.values_mut().for_each(sign_integers);
        }
        _ => {}
    }
}

macro_rules! schemas {
    ($($name:ident $schema:expr;)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )+};
}

schemas! {
    UserId id("01930f3c-5a7b-7c3d-8e4f-0123456789ab");
    ConversationId id("01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a49");
    MessageId id("01930f3d-0c2e-7b41-9f10-5a6b7c8d9e0f");
    EventId id("01930f3d-0c2f-7a55-8b21-1f2e3d4c5b6a");
    LoginId id("01930f3b-91d4-7e62-b0f3-2c4d6e8fa1b3");
    Position json_schema!({
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "maximum": Position::MAX.0,
        "examples": [1042],
    });
    Epoch json_schema!({ "type": "string", "examples": ["019aaf0e2b7c7d31a4b5c6d7e8f90a1b"] });
    Time json_schema!({
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        "examples": ["2026-11-24T13:10:00.123Z"],
    });
    Text text(Text::LIMIT, "Lunch at one?");
    Title text(Title::LIMIT, "Lunch");
    // The limit in characters is lower than the limit in bytes: a character that is joined to a sign has
    // three bytes or more.
    Emoji text(Emoji::LIMIT / 2, "👍");
    Metadata json_schema!({
        "type": "object",
        "additionalProperties": true,
        "examples": [{ "priority": "high" }],
    });
    ClientId json_schema!({
        "type": "string",
        "minLength": 8,
        "maxLength": 64,
        "pattern": "^[A-Za-z0-9_-]{8,64}$",
        "examples": ["c1-000000017"],
    });
}

/// The pattern of ids as they are written.
const ID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";

fn id(example: &str) -> Schema {
    json_schema!({
        "type": "string",
        "format": "uuid",
        "pattern": ID,
        "examples": [example],
    })
}

/// The schema of a text with a limit in bytes. JSON Schema counts characters, and a text never has more
/// characters than bytes of UTF-8, so the same number bounds both.
fn text(limit: usize, example: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": limit,
        "examples": [example],
    })
}

/// Turns a choice of documented constants into an `enum`, which every code generator knows. The descriptions
/// of the constants move into the description of the `enum`.
fn gather_choices(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(gather_choices),
        Value::Object(members) => {
            members.values_mut().for_each(gather_choices);
            if let Some((choices, said)) = members.get("oneOf").and_then(constants) {
                members.remove("oneOf");
                members.insert("type".to_owned(), "string".into());
                members.insert("enum".to_owned(), Value::Array(choices));
                let all = members.get("description").and_then(Value::as_str).unwrap_or_default();
                members.insert("description".to_owned(), format!("{all}\n\n{said}").trim().into());
            }
        }
        _ => {}
    }
}

fn constants(one_of: &Value) -> Option<(Vec<Value>, String)> {
    let mut said = Vec::new();
    let mut choices = Vec::new();
    for choice in one_of.as_array()? {
        let word = choice.get("const")?.as_str()?;
        choices.push(word.into());
        said.push(format!("- `{word}`: {}", choice.get("description")?.as_str()?));
    }
    Some((choices, said.join("\n")))
}

/// A value that fits the schema, put together from the examples of its parts. Of several examples or
/// constants, the last one is taken.
fn example(schema: &Value) -> Value {
    let last = |word: &str| schema.get(word).and_then(Value::as_array).and_then(|all| all.last()).cloned();
    if let Some(given) = last("examples").or_else(|| schema.get("const").cloned()).or_else(|| last("enum")) {
        return given;
    }
    if let Some(item) = schema.get("items") {
        return Value::Array(vec![example(item)]);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let members: Map<String, Value> =
        properties.into_iter().flatten().map(|(name, schema)| (name.clone(), example(schema))).collect();
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_required_field_can_be_null() {
        let either = json!({ "type": ["string", "null"] });
        let mut schema = json!({
            "oneOf": [{ "properties": { "always": either, "seldom": either }, "required": ["always"] }],
        });
        drop_null(&mut schema);
        let expected = json!({ "always": either, "seldom": { "type": "string" } });
        assert_eq!(schema["oneOf"][0]["properties"], expected);
    }

    #[test]
    fn unsigned_integers_get_formats_that_generators_know() {
        let of = |format: &str, minimum: u64| json!({ "format": format, "minimum": minimum });
        for (unsigned, signed) in
            [("uint16", "int32"), ("uint32", "int64"), ("uint64", "int64"), ("uint", "int64")]
        {
            let mut schema = json!([{ "format": unsigned }, of(unsigned, 1), { "format": "uuid" }]);
            sign_integers(&mut schema);
            assert_eq!(schema, json!([of(signed, 0), of(signed, 1), { "format": "uuid" }]));
        }
    }
}
