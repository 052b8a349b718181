//! The published contract of the stream AUDIT: the schemas of its payloads, and its part of the AsyncAPI document.

use serde_json::{Map, Value, json};

use crate::{
    domain::{AuditEvent, AuditType, Audited},
    log::{audited::audit_headers, envelope::type_name},
};

const STREAM: &str = "\
The stream `AUDIT` keeps the events for ever. They record how accounts, keys and issuers are created, changed and \
removed. Nodes write each event exactly once. Events about one subject are in the order of the changes; events about \
different subjects may be in another order than their changes. The data contains only ids, words, counts and hashes, \
never a name, an address or a text. A reader ignores a type, a version of a type, a field or a word that it does not know.";
const EXAMPLE_EVENT: &str = "01930f3d-0c2f-7a55-8b21-1f2e3d4c5b6a";
const EXAMPLE_SUBJECT: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
const EXAMPLE_TIME: &str = "2026-11-24T13:10:00.123Z";
const EXAMPLE_URL: &str = "https://chat.example.com";

/// The schemas of all payloads by type name.
pub(super) fn schemas() -> Vec<(String, Value)> {
    let published = |AuditType { word, mut schema }: AuditType| {
        let name = type_name(word);
        schema["$id"] = format!("/schemas/{name}.json").into();
        schema["title"] = word.into();
        (name, schema)
    };
    Audited::types().into_iter().map(published).collect()
}

/// The channel for the AsyncAPI document.
pub(super) fn channel() -> (String, Value) {
    let messages: Map<String, Value> = Audited::types()
        .into_iter()
        .map(|of| (of.word.to_owned(), json!({ "$ref": format!("#/components/messages/{}", of.word) })))
        .collect();
    let channel = json!({
        "address": "audit.{area}.{id}",
        "summary": "What has happened to accounts, keys and issuers.",
        "description": STREAM,
        "servers": [{ "$ref": "#/servers/nats" }],
        "parameters": {
            "area": { "description": "The first word of the type.", "examples": ["account"] },
            "id": {
                "description": "The account, the key or the login that the event is about; a hash for a thing \
                    without an id.",
                "examples": [EXAMPLE_SUBJECT],
            },
        },
        "messages": messages,
    });
    ("audit".to_owned(), channel)
}

/// The operation for the AsyncAPI document.
pub(super) fn operation() -> (String, Value) {
    let operation = json!({
        "action": "send",
        "channel": { "$ref": "#/channels/audit" },
        "summary": "Verbatim publishes an audit event.",
        "description": "Only Verbatim publishes here. Other programs read through their own consumers.",
    });
    ("publish_audit".to_owned(), operation)
}

/// The messages for the AsyncAPI document.
pub(super) fn messages() -> impl Iterator<Item = (String, Value)> {
    Audited::types().into_iter().map(|AuditType { word, schema }| {
        let name = type_name(word);
        let example = &schema["examples"][0];
        let message = json!({
            "name": name,
            "title": word,
            "summary": schema["description"],
            "contentType": "application/json",
            "headers": { "type": "object", "allOf": [
                { "$ref": "#/components/schemas/audit_headers" },
                { "type": "object", "properties": {
                    "ce-type": { "const": name },
                    "ce-dataschema": { "pattern": format!("/schemas/{}\\.json$", name.replace('.', "\\.")) },
                } },
            ] },
            "payload": { "$ref": format!("#/components/schemas/{name}") },
            "examples": [{ "headers": example_headers(word, example), "payload": example }],
        });
        (word.to_owned(), message)
    })
}

/// The headers with which the log really stores an event with this data.
fn example_headers(word: &str, data: &Value) -> Value {
    let event = AuditEvent {
        id: EXAMPLE_EVENT.parse().expect("an id"),
        time: EXAMPLE_TIME.parse().expect("a time"),
        word: word.to_owned(),
        subject: EXAMPLE_SUBJECT.to_owned(),
        actor: EXAMPLE_SUBJECT.parse().ok(),
        via: None,
        data: data.to_string().parse().expect("JSON"),
    };
    let headers = audit_headers(&event, EXAMPLE_URL.parse().ok().as_ref());
    let pairs = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    pairs.map(|(name, value)| (name.to_string(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

/// The schemas for the AsyncAPI document: those of the payloads, without `$id` and `$schema`, and the one of the
/// headers.
pub(super) fn components() -> impl Iterator<Item = (String, Value)> {
    let unnamed = |(name, mut schema): (String, Value)| {
        if let Value::Object(members) = &mut schema {
            members.remove("$id");
            members.remove("$schema");
        }
        (name, schema)
    };
    schemas().into_iter().map(unnamed).chain([("audit_headers".to_owned(), headers())])
}

fn headers() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let id = |description: &str| json!({ "type": "string", "format": "uuid", "description": description });
    json!({
        "type": "object",
        "description": "CloudEvents 1.0, binary mode of the NATS binding. Readers ignore headers that they do not know.",
        "required": [
            "ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-datacontenttype", "Nats-Msg-Id",
        ],
        "properties": {
            "ce-specversion": { "const": "1.0" },
            "ce-id": id("The id of the event."),
            "ce-type": text("`verbatim.<area>.<what happened>.v1`"),
            "ce-source": { "const": "/audit" },
            "ce-time": {
                "type": "string",
                "format": "date-time",
                "description": "The time of the change, for people to read; the stream gives the order.",
            },
            "ce-datacontenttype": { "const": "application/json" },
            "ce-actor": id("The account that made the change. Absent for an operator on the machine and for a change that \
                Verbatim makes by itself."),
            "ce-via": id("The service account through which the actor acted."),
            "ce-dataschema": {
                "type": "string",
                "format": "uri",
                "description": "Where the JSON Schema of the payload is served: under `VERBATIM_PUBLIC_URL`, and \
                    not there without that setting.",
            },
            "Nats-Msg-Id": text("The id of the event."),
        },
    })
}
