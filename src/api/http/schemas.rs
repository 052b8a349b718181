//! Changes schemas of the document that depend on other schemas: closes request bodies, and joins or splits
//! the schemas of unions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::domain::{name_models, shapes_by_type};

/// The values in an object; none for any other value.
pub(in crate::api) fn members(object: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    object.and_then(Value::as_object_mut).into_iter().flat_map(|object| object.values_mut())
}

/// Applies all changes of this module to a whole document.
pub(in crate::api) fn relate(document: &mut Value) {
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        join_kinds(schemas);
        type_events(schemas);
        name_models(schemas);
        share_choices(schemas);
    }
    let bodies = bodies(document);
    let Some(schemas) = document.pointer_mut("/components/schemas") else { return };
    bodies.iter().for_each(|body| close(schemas, body));
    show_choices(schemas);
}

/// Joins the parts of each kind of a union. poem-openapi composes a kind (`Union_Kind`) from a tag and its
/// fields. Both become one object under the name of the fields, so that a code generator makes one type of
/// it.
fn join_kinds(schemas: &mut Map<String, Value>) {
    let of_two = |(name, schema): (&String, &Value)| {
        let [tag, fields] = schema.get("allOf")?.as_array()?.as_slice() else { return None };
        Some((name.clone(), tag.clone(), named(fields)?))
    };
    let composed: Vec<_> = schemas.iter().filter_map(of_two).collect();
    for (name, tag, fields) in composed {
        schemas.remove(&name);
        for (word, property) in tag["properties"].as_object().into_iter().flatten() {
            require(schemas, &fields, word);
            let Some(kind) = schemas.get_mut(&fields) else { continue };
            if let Some(example) = kind.pointer_mut("/examples/0") {
                example[word] = property["enum"][0].clone();
            }
            kind["properties"][word] = property.clone();
        }
        let (from, to) = (reference(&name), reference(&fields));
        schemas.values_mut().for_each(|schema| rename(schema, &from, &to));
    }
}

fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => to.clone_into(text),
        Value::Array(all) => all.iter_mut().for_each(|part| rename(part, from, to)),
        Value::Object(all) => all.values_mut().for_each(|part| rename(part, from, to)),
        _ => {}
    }
}

/// Replaces the schema `Event` by a union with one object for each type of event. The code has one type for
/// all events, because it passes their data on without reading it.
fn type_events(schemas: &mut Map<String, Value>) {
    let Some(event) = schemas.remove("Event") else { return };
    let data = |word: &str| format!("{}Data", pascal(word));
    let shapes = shapes_by_type(&event, |of| json!({ "$ref": reference(&data(of.word)) }));
    let mut mapping = Map::new();
    for (of, mut shape) in shapes {
        let mut schema = of.schema;
        if let Some(schema) = schema.as_object_mut() {
            schema.retain(|keyword, _| !matches!(keyword.as_str(), "$schema" | "title"));
        }
        let name = format!("{}Event", pascal(of.word));
        shape["title"] = name.as_str().into();
        mapping.insert(of.word.to_owned(), reference(&name).into());
        schemas.insert(data(of.word), schema);
        schemas.insert(name, shape);
    }
    let union = json!({
        "type": "object",
        "description": event["description"],
        "oneOf": mapping.values().map(|name| json!({ "$ref": name })).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "type", "mapping": mapping },
        "examples": event["examples"],
    });
    schemas.insert("Event".to_owned(), union);
}

/// Lets the fields of events refer to the named enumerations of the same words, so that a code generator makes one type
/// of both.
fn share_choices(schemas: &mut Map<String, Value>) {
    let named: Vec<(String, BTreeSet<String>)> =
        schemas.iter().filter_map(|(name, schema)| Some((name.clone(), words(schema)?))).collect();
    for schema in schemas.values_mut() {
        for field in members(schema.get_mut("properties")) {
            let Some(of) = words(field) else { continue };
            let (Some((name, _)), Some(field)) =
                (named.iter().find(|(_, all)| *all == of), field.as_object_mut())
            else {
                continue;
            };
            field.retain(|keyword, _| matches!(keyword.as_str(), "default" | "description"));
            field.insert("$ref".to_owned(), reference(name).into());
        }
    }
}

/// The words of an enumeration.
fn words(schema: &Value) -> Option<BTreeSet<String>> {
    schema.get("enum")?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// Converts `member.role_changed` to the name of a type: `MemberRoleChanged`.
fn pascal(word: &str) -> String {
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
    };
    word.split(['.', '_']).map(capital).collect::<Vec<String>>().concat()
}

/// Marks a field as required.
fn require(schemas: &mut Map<String, Value>, name: &str, field: &str) {
    let Some(schema) = schemas.get_mut(name).and_then(Value::as_object_mut) else { return };
    let required = schema.entry("required").or_insert(json!([]));
    required.as_array_mut().into_iter().for_each(|all| all.insert(0, field.into()));
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// The names of the schemas of all request bodies.
fn bodies(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let operations = paths.filter_map(Value::as_object).flat_map(|operations| operations.values());
    operations
        .filter_map(|operation| operation.pointer("/requestBody/content/application~1json/schema"))
        .filter_map(named)
        .collect()
}

/// Forbids additional fields in a request body or, if the body is a union, in each of its kinds.
fn close(schemas: &mut Value, name: &str) {
    let schema = &mut schemas[name];
    if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
        let kinds: Vec<_> = kinds.iter().filter_map(named).collect();
        kinds.iter().for_each(|kind| close(schemas, kind));
    } else {
        schema["additionalProperties"] = json!(false);
    }
}

/// The name of the schema that a reference points to.
fn named(reference: &Value) -> Option<String> {
    reference.get("$ref")?.as_str()?.rsplit('/').next().map(str::to_owned)
}

/// Gives each union without examples the examples of its kinds.
fn show_choices(schemas: &mut Value) {
    let known = schemas.clone();
    for schema in members(Some(schemas)).filter(|schema| schema.get("examples").is_none()) {
        let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) else { continue };
        schema["examples"] = kinds.iter().filter_map(|kind| shown(kind, &known)).collect();
    }
}

fn shown(schema: &Value, known: &Value) -> Option<Value> {
    if let Some(name) = named(schema) {
        return shown(&known[name], &json!({}));
    }
    if let Some(example) = schema.pointer("/examples/0") {
        return Some(example.clone());
    }
    let fields = schema.get("properties")?.as_object()?.iter();
    Some(fields.filter_map(|(name, field)| Some((name.clone(), shown(field, known)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_a_union_is_one_object() {
        let mut document = json!({"components": {"schemas": {
            "One": {"oneOf": [{"$ref": "#/components/schemas/One_B"}], "discriminator": {"propertyName": "kind",
                "mapping": {"b": "#/components/schemas/One_B"}}},
            "One_B": {"allOf": [
                {"required": ["kind"], "properties": {"kind": {"type": "string", "enum": ["b"]}}},
                {"$ref": "#/components/schemas/B"},
            ]},
            "B": {"required": ["x"], "properties": {"x": {}}, "examples": [{"x": 1}]},
        }}});
        relate(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["One_B"], Value::Null);
        let one_object = json!({
            "required": ["kind", "x"],
            "properties": {"kind": {"type": "string", "enum": ["b"]}, "x": {}},
            "examples": [{"kind": "b", "x": 1}],
        });
        assert_eq!(schemas["B"], one_object);
        let union = json!({
            "oneOf": [{"$ref": "#/components/schemas/B"}],
            "discriminator": {"propertyName": "kind", "mapping": {"b": "#/components/schemas/B"}},
            "examples": [{"kind": "b", "x": 1}],
        });
        assert_eq!(schemas["One"], union);
    }

    #[test]
    fn an_event_is_told_apart_by_its_type() {
        let mut schemas = Map::new();
        schemas.insert(
            "Event".into(),
            json!({"properties": {"type": {}, "data": {}}, "examples": [{"type": "x"}]}),
        );
        type_events(&mut schemas);
        let mapping = &schemas["Event"]["discriminator"]["mapping"];
        assert_eq!(mapping["member.role_changed"], "#/components/schemas/MemberRoleChangedEvent");
        let event = &schemas["MemberRoleChangedEvent"]["properties"];
        assert_eq!(event["type"]["enum"], json!(["member.role_changed"]));
        assert_eq!(event["data"]["$ref"], "#/components/schemas/MemberRoleChangedData");
        assert!(schemas["MemberRoleChangedData"]["properties"]["role"].is_object());
    }

    #[test]
    fn a_field_with_the_words_of_a_named_enumeration_refers_to_it() {
        let mut schemas = Map::new();
        schemas.insert("Role".into(), json!({"type": "string", "enum": ["owner", "member"]}));
        let field = |words: Value| json!({"type": "string", "enum": words, "description": "Why."});
        let data = json!({"properties": {"role": field(json!(["member", "owner"])), "other": field(json!(["member"]))}});
        schemas.insert("MemberAddedData".into(), data);
        share_choices(&mut schemas);
        let fields = &schemas["MemberAddedData"]["properties"];
        assert_eq!(fields["role"], json!({"$ref": "#/components/schemas/Role", "description": "Why."}));
        assert_eq!(fields["other"], field(json!(["member"])));
    }

    #[test]
    fn bodies_are_closed_and_answers_are_not() {
        let body =
            |name| json!({"requestBody": {"content": {"application/json": {"schema": {"$ref": name}}}}});
        let mut document = json!({
            "paths": {"/a": {"post": body("#/One"), "put": body("#/C")}},
            "components": {"schemas": {"One": {"oneOf": [{"$ref": "#/A"}]}, "A": {}, "B": {}, "C": {}}},
        });
        relate(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["A"]["additionalProperties"], json!(false));
        assert_eq!(schemas["C"]["additionalProperties"], json!(false));
        assert_eq!(schemas["B"], json!({}));
    }
}
