//! The OpenAPI document. poem-openapi writes version 3.0.0, which this module converts to valid 3.1.

use std::{collections::BTreeMap, marker::PhantomData};

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    LicenseObject, OpenApi, OpenApiService, ServerObject,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};

use crate::{
    api::http::{headers, on_behalf, outcomes, schemas, shown},
    domain, problems,
};

/// The path prefix of all operations.
pub const BASE: &str = "/v1";
/// The title of the document.
pub const TITLE: &str = "Verbatim";
/// The version of the document, which is the version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const DESCRIPTION: &str = "\
The chat backend that keeps every word, in order, once, and can prove it.

- Errors are `application/problem+json` (RFC 9457), with a `code` for programs and a `detail` for people.
- Lists are pages: pass `next_cursor` as `cursor`, with the parameters that choose the list, until it is absent. A \
cursor is valid only for its own list.
- All that is done in a conversation takes an `Idempotency-Key`: starting it, and changing the group, its members and \
its messages. The server executes requests with the same key only once. Sending a message requires one. Receipts and \
private settings take none: they set a state, so a repetition changes nothing more.
- Other operations with POST take no key, so a repetition creates another webhook, API key, invitation code, login or \
export. If the response was lost, list first, and remove what you do not need.
- A command returns the `position` that it has reached. A read with this position as `min_position` waits for it.
- Later versions add fields to responses, values to enumerations like `features`, and types of events. A client ignores \
those that it does not know.

The interfaces of Verbatim use these names:

| meaning | REST | frame of the socket | event in the log |
|---|---|---|---|
| the user who sent a message | `sender` | `actor` of `message.sent` | header `ce-actor` |
| the user who caused another event | `pinned_by`, `deleted_by` | `actor` | header `ce-actor` |
| a message | `id` of a message, `message_id` in a path | `message_id` | `message_id` |
| a conversation | `id` of a conversation, else `conversation_id` | `conversation_id`, `id` in `ready` | in the subject |
| an event | `id` of an event | `id` of the frame `event` | header `ce-id` |
| a command over the socket, and its response | | `id` of the frame | |
| the position of a message | `position` of a message | `position` of `message.sent`, else `message_position` | \
sequence of `message.sent`, else `message_position` |
| the position that a command has reached | `position` of the response, `Verbatim-Position` | `position` of `ack` | |
| the last position of a conversation | `head` | `head`, `heads` | |
| the idempotency key | `Idempotency-Key`, `client_id` | `client_id` | `client_id` |
| the time of an event | `sent_at`, `edited_at`, `joined_at`, ... | `time` | header `ce-time` |
| how far a member has read | `read` | `position` of `read` | `read` of `receipt.advanced` |";

/// The OpenAPI 3.1 document of the operations of `A`: pretty-printed JSON, with the same bytes every time.
pub fn text<A: OpenApi>() -> String {
    let service = OpenApiService::new(Described::<A>(PhantomData), TITLE, VERSION)
        .description(DESCRIPTION)
        .server(ServerObject::new("/").description("The server that serves this document"))
        .license(LicenseObject::new("Apache License 2.0").identifier("Apache-2.0"))
        .url_prefix(BASE);
    format!("{:#}\n", lift(&service.spec()))
}

/// The operations of `A` without a value of `A`: the document needs only types.
struct Described<A>(PhantomData<A>);

impl<A: OpenApi> OpenApi for Described<A> {
    fn meta() -> Vec<MetaApi> {
        A::meta()
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }

    fn add_routes(
        self,
        _: &mut std::collections::HashMap<String, std::collections::HashMap<Method, BoxEndpoint<'static>>>,
    ) {
    }
}

/// Converts the document of poem-openapi to valid OpenAPI 3.1, with keys in alphabetical order. Input that is
/// not a JSON object gives an empty document.
pub fn lift(spec_json: &str) -> Value {
    let Ok(mut document) = serde_json::from_str::<Spec>(spec_json).map(Spec::merged) else {
        return json!({});
    };
    document.insert("openapi".into(), "3.1.0".into());
    for list in ["servers", "tags"] {
        if document.get(list).is_some_and(|list| list.as_array().is_some_and(Vec::is_empty)) {
            document.remove(list);
        }
    }
    let shapes = document.get("components").and_then(|components| components.get("schemas")).cloned();
    for paths in ["paths", "webhooks"] {
        for operation in
            schemas::members(document.get_mut(paths)).flat_map(|path| schemas::members(Some(path)))
        {
            lift_operation(operation, shapes.as_ref().unwrap_or(&Value::Null));
        }
    }
    if let Some(components) = document.get_mut("components") {
        components["headers"] = headers::components();
        schemas::members(components.get_mut("schemas")).for_each(lift_schema);
        if let Some(code) = components.pointer_mut("/schemas/Problem/properties/code") {
            code["x-codes"] = problems::all();
        }
    }
    let mut document = Value::Object(document);
    schemas::relate(&mut document);
    domain::sign_integers(&mut document);
    document
}

/// The document of poem-openapi. It writes a path twice if two groups of operations share the path, so the
/// entries of such a path are merged.
#[derive(serde::Deserialize)]
struct Spec {
    #[serde(default, deserialize_with = "merged")]
    paths: BTreeMap<String, Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Spec {
    fn merged(self) -> Map<String, Value> {
        let mut document = self.rest;
        document.insert("paths".into(), json!(self.paths));
        document
    }
}

fn merged<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Map<String, Value>>, D::Error> {
    struct Paths;
    impl<'de> serde::de::Visitor<'de> for Paths {
        type Value = BTreeMap<String, Map<String, Value>>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("paths")
        }

        fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut paths = Self::Value::new();
            while let Some((path, operations)) = map.next_entry::<String, Map<String, Value>>()? {
                paths.entry(path).or_default().extend(operations);
            }
            Ok(paths)
        }
    }
    from.deserialize_map(Paths)
}

fn elements(array: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    array.and_then(Value::as_array_mut).into_iter().flatten()
}

fn lift_operation(operation: &mut Value, shapes: &Value) {
    if let Value::Object(operation) = &mut *operation {
        // An explicit empty list says that the operation needs no token.
        operation.entry("security").or_insert(json!([]));
    }
    elements(operation.get_mut("parameters")).for_each(lift_described);
    on_behalf::describe(operation);
    if let Some(body) = operation.get_mut("requestBody") {
        schemas::members(body.get_mut("content")).for_each(lift_described);
    }
    let has_body = operation.get("requestBody").is_some();
    let given = operation.clone();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    responses.retain(|status, _| has_body || !matches!(status.as_str(), "413" | "415"));
    for (status, response) in responses {
        headers::refer(status, response);
        schemas::members(response.get_mut("headers")).for_each(lift_described);
        schemas::members(response.get_mut("content")).for_each(lift_described);
        if let Some(problem) = response.pointer_mut("/content/application~1problem+json") {
            problem["example"] = shown::example(status, &given, shapes);
        }
    }
    outcomes::describe(operation);
}

/// Lifts a parameter, a header or a content, each of which has a schema. Removes keywords that have their
/// default value.
fn lift_described(described: &mut Value) {
    if let Some(schema) = described.get_mut("schema") {
        lift_schema(schema);
    }
    if let Some(described) = described.as_object_mut() {
        described.retain(|key, value| match key.as_str() {
            "deprecated" => *value == Value::Bool(true),
            "explode" => *value == Value::Bool(false),
            _ => true,
        });
    }
}

fn lift_schema(schema: &mut Value) {
    schemas::members(schema.get_mut("properties")).for_each(lift_schema);
    for key in ["items", "additionalProperties", "not"] {
        schema.get_mut(key).into_iter().for_each(lift_schema);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        elements(schema.get_mut(key)).for_each(lift_schema);
    }
    if let Some(keywords) = schema.as_object_mut() {
        open_reference(keywords);
        whole_numbers(keywords);
        exclusive(keywords, "exclusiveMinimum", "minimum");
        exclusive(keywords, "exclusiveMaximum", "maximum");
        nullable(keywords);
        example(keywords);
    }
}

/// Writes `allOf: [{$ref}, {more}]` as `{$ref, more}`, which 3.1 allows.
fn open_reference(schema: &mut Map<String, Value>) {
    let Some([reference, Value::Object(more)]) =
        schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
    else {
        return;
    };
    let structural = ["$ref", "properties", "allOf", "anyOf", "oneOf"];
    if reference.get("$ref").is_some() && !structural.iter().any(|key| more.contains_key(*key)) {
        let (reference, more) = (reference["$ref"].clone(), more.clone());
        schema.remove("allOf");
        schema.extend(more);
        schema.insert("$ref".into(), reference);
    }
}

/// Writes whole bounds as integers: poem-openapi stores floats and writes `1.0` for `1`.
fn whole_numbers(schema: &mut Map<String, Value>) {
    for key in ["minimum", "maximum", "multipleOf"] {
        if let Some(bound) = schema.get_mut(key)
            && let Some(number) = bound.as_f64()
            && number.fract() == 0.0
            && number.abs() <= 9_007_199_254_740_992.0
        {
            *bound = json!(number as i64);
        }
    }
}

/// Since 3.1, `exclusiveMinimum` is the bound itself, not a flag.
fn exclusive(schema: &mut Map<String, Value>, exclusive: &str, bound: &str) {
    match schema.remove(exclusive) {
        Some(Value::Bool(true)) => {
            if let Some(number) = schema.remove(bound) {
                schema.insert(exclusive.into(), number);
            }
        }
        Some(number @ Value::Number(_)) => drop(schema.insert(exclusive.into(), number)),
        _ => {}
    }
}

/// Since 3.1, the type `null` replaces `nullable`.
fn nullable(schema: &mut Map<String, Value>) {
    if schema.remove("nullable") != Some(Value::Bool(true)) {
        return;
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    if let Some(reference) = schema.remove("$ref") {
        schema.insert("anyOf".into(), json!([{ "$ref": reference }, { "type": "null" }]));
    } else if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
}

/// Since 3.1, schemas have a list `examples`. Fields with `null` are removed, because the server omits a
/// field that has no value.
fn example(schema: &mut Map<String, Value>) {
    if let Some(mut example) = schema.remove("example") {
        drop_nulls(&mut example);
        schema.insert("examples".into(), json!([example]));
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(mut schema: Value) -> Value {
        lift_schema(&mut schema);
        schema
    }

    #[test]
    fn nullable_becomes_a_type() {
        let cases = [
            (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
            (json!({"type": "string", "nullable": false}), json!({"type": "string"})),
            (
                json!({"type": "string", "enum": ["a"], "nullable": true}),
                json!({"type": ["string", "null"], "enum": ["a", null]}),
            ),
            (
                json!({"allOf": [{"$ref": "#/x"}, {"nullable": true}], "nullable": true}),
                json!({"anyOf": [{"$ref": "#/x"}, {"type": "null"}]}),
            ),
        ];
        for (old, new) in cases {
            assert_eq!(schema(old), new);
        }
    }

    #[test]
    fn exclusive_bounds_become_numbers() {
        assert_eq!(
            schema(
                json!({"minimum": 1.0, "exclusiveMinimum": true, "maximum": 2.5, "exclusiveMaximum": false})
            ),
            json!({"exclusiveMinimum": 1, "maximum": 2.5}),
        );
        assert_eq!(schema(json!({"maximum": 9.0, "exclusiveMaximum": true})), json!({"exclusiveMaximum": 9}));
    }

    #[test]
    fn a_reference_with_more_is_opened() {
        assert_eq!(
            schema(json!({"allOf": [{"$ref": "#/x"}, {"default": "a"}], "default": "a"})),
            json!({"$ref": "#/x", "default": "a"}),
        );
        let real = json!({"allOf": [{"$ref": "#/x"}, {"$ref": "#/y"}]});
        assert_eq!(schema(real.clone()), real, "two references are a true allOf");
    }

    #[test]
    fn an_example_becomes_examples_without_nulls() {
        assert_eq!(
            schema(json!({"example": {"a": null, "b": [{"c": null}]}})),
            json!({"examples": [{"b": [{}]}]}),
        );
    }

    #[test]
    fn a_property_may_be_called_like_a_keyword() {
        let shape = json!({"properties": {"example": {"type": "string"}, "nullable": {"type": "boolean"}}});
        assert_eq!(schema(shape.clone()), shape);
    }

    #[test]
    fn what_is_empty_or_default_is_left_out() {
        let spec = json!({
            "openapi": "3.0.0", "servers": [], "tags": [],
            "paths": {"/a": {"get": {
                "parameters": [{"name": "q", "deprecated": false, "explode": true, "required": true}],
                "responses": {"404": {"headers": {"X": {"deprecated": false}}}, "413": {}, "415": {}},
            }}},
        });
        let lifted = json!({
            "openapi": "3.1.0",
            "paths": {"/a": {"get": {
                "parameters": [{"name": "q", "required": true}],
                "responses": {"404": {"headers": {"X": {}}}},
                "security": [],
            }}},
        });
        assert_eq!(lift(&spec.to_string()), lifted);
    }

    #[test]
    fn a_path_that_is_written_twice_is_merged() {
        let lifted = lift(r#"{"paths": {"/a": {"get": {}}, "/b": {}, "/a": {"post": {}}}}"#);
        let open = json!({"security": []});
        assert_eq!(lifted["paths"], json!({"/a": {"get": open, "post": open}, "/b": {}}));
    }

    #[test]
    fn problems_have_an_example_of_their_status() {
        let spec = json!({"paths": {"/a": {"get": {"responses": {
            "404": {"content": {"application/problem+json": {}}},
        }}}}});
        let lifted = lift(&spec.to_string());
        let example =
            &lifted["paths"]["/a"]["get"]["responses"]["404"]["content"]["application/problem+json"];
        assert_eq!(example["example"]["code"], "not_found");
    }
}
