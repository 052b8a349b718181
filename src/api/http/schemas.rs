//! What the document says of schemas that belong together: which bodies are closed, and how those
//! that are put together from others look.

use serde_json::{Value, json};

use crate::api::http::document::members;

/// Looks at the schemas of a whole document.
pub(in crate::api) fn relate(document: &mut Value) {
    let bodies = bodies(document);
    let Some(schemas) = document.pointer_mut("/components/schemas") else { return };
    bodies.iter().for_each(|body| close(schemas, body));
    show_composed(schemas);
}

/// The schemas of all bodies of requests.
fn bodies(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let operations = paths.filter_map(Value::as_object).flat_map(|operations| operations.values());
    operations
        .filter_map(|operation| operation.pointer("/requestBody/content/application~1json/schema"))
        .filter_map(named)
        .collect()
}

/// The body of a request has no other fields than those named.
fn close(schemas: &mut Value, name: &str) {
    let schema = &mut schemas[name];
    if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
        let kinds: Vec<_> = kinds.iter().filter_map(named).collect();
        kinds.iter().for_each(|kind| close(schemas, kind));
    } else if schema.get("allOf").is_some() {
        schema["unevaluatedProperties"] = json!(false);
    } else {
        schema["additionalProperties"] = json!(false);
    }
}

/// The name of the schema that a reference leads to.
fn named(reference: &Value) -> Option<String> {
    reference.get("$ref")?.as_str()?.rsplit('/').next().map(str::to_owned)
}

/// What is put together from other schemas has the examples of its parts.
fn show_composed(schemas: &mut Value) {
    for composed in ["allOf", "oneOf"] {
        let known = schemas.clone();
        for schema in members(Some(schemas)).filter(|schema| schema.get("examples").is_none()) {
            let Some(parts) = schema.get(composed).and_then(Value::as_array) else { continue };
            let parts = parts.iter().filter_map(|part| shown(part, &known));
            let examples = match composed {
                "allOf" => vec![parts.filter_map(|part| part.as_object().cloned()).flatten().collect()],
                _ => parts.collect::<Vec<_>>(),
            };
            schema["examples"] = json!(examples);
        }
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
    fn what_is_composed_is_shown_as_its_parts_are() {
        let mut schemas = json!({
            "One": {"oneOf": [{"$ref": "#/A_B"}]},
            "A_B": {"allOf": [{"properties": {"kind": {"examples": ["b"]}}}, {"$ref": "#/B"}]},
            "B": {"examples": [{"x": 1}]},
        });
        show_composed(&mut schemas);
        assert_eq!(schemas["A_B"]["examples"], json!([{"kind": "b", "x": 1}]));
        assert_eq!(schemas["One"]["examples"], json!([{"kind": "b", "x": 1}]));
    }

    #[test]
    fn bodies_are_closed_and_answers_are_not() {
        let body =
            |name| json!({"requestBody": {"content": {"application/json": {"schema": {"$ref": name}}}}});
        let mut document = json!({
            "paths": {"/a": {"post": body("#/One"), "put": body("#/C")}},
            "components": {"schemas": {
                "One": {"oneOf": [{"$ref": "#/A_B"}]}, "A_B": {"allOf": []}, "B": {}, "C": {},
            }},
        });
        relate(&mut document);
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["A_B"]["unevaluatedProperties"], json!(false));
        assert_eq!(schemas["C"]["additionalProperties"], json!(false));
        assert_eq!(schemas["B"], json!({}));
    }
}
