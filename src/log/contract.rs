//! The log's published contract: the schemas of payloads, and the log's half of the AsyncAPI document. All of it is
//! made from the types and functions that write the log.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    domain::{ConversationId, Event, EventId, EventType, Lane, Time, UserId},
    log::{Draft, audited_contract, envelope::type_name, limits::DUPLICATE_WINDOW},
};

/// The JSON Schemas of all payloads by type name (`verbatim.message.sent.v1`), each with `$id`,
/// title, description and an example.
pub fn schemas() -> Vec<(String, Value)> {
    Event::types().into_iter().map(published).chain(audited_contract::schemas()).collect()
}

/// The schemas as files, committed and served under `/schemas/`: pretty JSON by file name.
pub fn schema_files() -> BTreeMap<String, String> {
    schemas().into_iter().map(|(name, schema)| (format!("{name}.json"), format!("{schema:#}\n"))).collect()
}

/// The NATS half of the AsyncAPI document: its `servers`, `channels`, `operations` and `components`.
pub(crate) fn channels() -> Value {
    let types = Event::types();
    let lanes = LANES.iter().map(|(lane, ..)| lane).filter(|lane| lane.is_read());
    let written = lanes.map(Lane::word).chain(["typing"]);
    let messages: Map<String, Value> = types
        .iter()
        .map(|of| (of.word.to_owned(), message(of)))
        .chain([typing_message()])
        .chain(audited_contract::messages())
        .collect();
    let schemas: Map<String, Value> = types
        .into_iter()
        .map(component)
        .chain([("headers".to_owned(), headers()), ("typing".to_owned(), typing())])
        .chain(audited_contract::components())
        .collect();
    json!({
        "servers": { "nats": {
            "host": "{host}",
            "protocol": "nats",
            "description": SERVER,
            "security": [{ "$ref": "#/components/securitySchemes/nats" }],
            "variables": { "host": { "default": "localhost:4222", "description": "Host and port of a nats-server." } },
        } },
        "channels": LANES.iter().map(channel).chain([typing_channel(), audited_contract::channel()]).collect::<Map<_, _>>(),
        "operations": written.map(operation).chain([audited_contract::operation()]).collect::<Map<_, _>>(),
        "components": {
            "messages": messages,
            "schemas": schemas,
            "securitySchemes": { "nats": {
                "type": "userPassword",
                "description": "A user of the NATS cluster that may consume but may not publish on `chat.>`.",
            } },
        },
    })
}

const SERVER: &str = "\
A program that reads the log has its own NATS user, which may not publish on `chat.>`. It reads through a JetStream consumer, \
never through a core subscription on the lanes, because a core subscription also gets messages that JetStream refused.";

fn published(of: EventType) -> (String, Value) {
    let EventType { word, mut schema, .. } = of;
    let name = type_name(word);
    if let Value::Object(members) = &mut schema {
        members.insert("$id".to_owned(), format!("/schemas/{name}.json").into());
        members.insert("title".to_owned(), word.into());
    }
    (name, schema)
}

/// Removes the names that a schema needs as a file of its own but not within the document.
fn component(of: EventType) -> (String, Value) {
    let (name, mut schema) = published(of);
    if let Value::Object(members) = &mut schema {
        members.remove("$id");
        members.remove("$schema");
    }
    (name, schema)
}

/// The published lanes, each with its summary and a description of its stream.
const LANES: [(Lane, &str, &str); 5] = [
    (Lane::Roster, "The members of a conversation and their roles.", CHAT),
    (Lane::Timeline, "Messages, edits, deletions, reactions and pins.", CHAT),
    (Lane::Receipts, "How far each member has received and read a conversation.", CHAT),
    (Lane::Control, "Actions of moderators, host applications, retention and erasure.", CHAT),
    (Lane::Presence, "Whether users are online.", PRESENCE),
];

fn channel((lane, summary, stream): &(Lane, &str, &str)) -> (String, Value) {
    let word = lane.word();
    let of_lane = Event::types().into_iter().filter(|of| of.lane == *lane);
    let messages: Map<String, Value> = of_lane.map(|of| reference(of.word)).collect();
    (word.to_owned(), describe_channel(word, summary, stream, messages))
}

const CHAT: &str = "\
The streams `CHAT_0` to `CHAT_<N-1>` keep the events for ever. N is a power of two up to 256, and stream k has the \
shards from 256·k/N to 256·(k+1)/N - 1. The stream sequence is the position of the event; the positions of a stream \
have no gaps except those that `content.erased` lists: their events were erased, and a reader deletes its copies. The \
order of a conversation spans all lanes of these streams. A timeline or receipt event whose actor is not a member at \
its position is void: a reader ignores it. An event of any other lane always counts. An event of a lane, a type or a \
version of a type that a reader does not know is part of the order, and the reader ignores its data. `verbatim.reads` \
in the metadata of the streams is the lowest contract level of a reader; this document describes level 2.";
const PRESENCE: &str = "The stream `PRESENCE` keeps the events for an hour, in memory.";
const TYPING: &str = "Core NATS: no stream stores the messages, and each arrives at most once.";

fn describe_channel(word: &str, summary: &str, description: &str, messages: Map<String, Value>) -> Value {
    json!({
        "address": format!("chat.{{shard}}.{{conversation_id}}.{word}"),
        "summary": summary,
        "description": description,
        "servers": [{ "$ref": "#/servers/nats" }],
        "parameters": {
            "shard": { "description": "The last two hex digits of the conversation's id.", "examples": ["49"] },
            "conversation_id": {
                "description": "A UUIDv7 in canonical lower case.",
                "examples": [EXAMPLE_CONVERSATION],
            },
        },
        "messages": messages,
    })
}

fn operation(lane: &str) -> (String, Value) {
    let operation = json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{lane}") },
        "summary": format!("Verbatim publishes an event in the lane `{lane}`."),
        "description": "Only Verbatim publishes here. Other programs read through their own consumers.",
    });
    (format!("publish_{lane}"), operation)
}

fn reference(word: &str) -> (String, Value) {
    (word.to_owned(), json!({ "$ref": format!("#/components/messages/{word}") }))
}

fn message(of: &EventType) -> Value {
    let name = type_name(of.word);
    let example = &of.schema["examples"][0];
    json!({
        "name": name,
        "title": of.word,
        "summary": of.schema["description"],
        "contentType": "application/json",
        "headers": { "type": "object", "allOf": [
            { "$ref": "#/components/schemas/headers" },
            { "type": "object", "properties": {
                "ce-type": { "const": name },
                "ce-via": {
                "type": "string",
                "format": "uuid",
                "description": "The service account through which the user acted; absent if the user acted directly.",
            },
            "ce-dataschema": { "pattern": format!("/schemas/{}\\.json$", name.replace('.', "\\.")) },
            } },
        ] },
        "payload": { "$ref": format!("#/components/schemas/{name}") },
        "examples": [{ "headers": example_headers(of.word, example), "payload": example }],
    })
}

const EXAMPLE_CONVERSATION: &str = "01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a49";
const EXAMPLE_URL: &str = "https://chat.example.com";
const EXAMPLE_EVENT: &str = "01930f3d-0c2f-7a55-8b21-1f2e3d4c5b6a";
const EXAMPLE_USER: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
const EXAMPLE_TIME: &str = "2026-11-24T13:10:00.123Z";

/// The headers that the log really writes for an event with this data.
fn example_headers(word: &str, data: &Value) -> Value {
    let event = Event::read(word, data.to_string().as_bytes())
        .and_then(Result::ok)
        .expect("the example of a schema is data of its type");
    let key = event.client_id().map(|key| key.to_owned().try_into().expect("the example of a key is one"));
    let draft = Draft {
        conversation: EXAMPLE_CONVERSATION.parse::<ConversationId>().expect("an id"),
        id: EXAMPLE_EVENT.parse::<EventId>().expect("an id"),
        actor: EXAMPLE_USER.parse::<UserId>().expect("an id"),
        via: None,
        time: EXAMPLE_TIME.parse::<Time>().expect("a time"),
        event,
        key,
        trace: None,
    };
    let headers = draft.headers(EXAMPLE_URL.parse().ok().as_ref());
    let pairs = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    pairs.map(|(name, value)| (name.to_string(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

fn headers() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "CloudEvents 1.0, binary mode of the NATS binding. No header contains text \
            that a person typed. Readers ignore headers that they do not know.",
        "required": [
            "ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "ce-datacontenttype", "ce-actor",
            "Nats-Msg-Id",
        ],
        "properties": {
            "ce-specversion": { "const": "1.0" },
            "ce-id": { "type": "string", "format": "uuid", "description": "The id of the event." },
            "ce-type": text("`verbatim.<what happened>.v1`. A type whose data changes gets another version beside it."),
            "ce-source": text("`/conversations/<id>`"),
            "ce-time": {
                "type": "string",
                "format": "date-time",
                "description": "When a node appended the event, for display. The position gives the order, not the time.",
            },
            "ce-datacontenttype": { "const": "application/json" },
            "ce-actor": { "type": "string", "format": "uuid", "description": "The user who caused the event." },
            "ce-dataschema": {
                "type": "string",
                "format": "uri",
                "description": "The URL of the payload's JSON Schema, under `VERBATIM_PUBLIC_URL`. The header is \
                    absent without that setting. Events from before version 1.0 may have only the path.",
            },
            "Nats-Msg-Id": text(&format!(
                "A hash of user, conversation and idempotency key, by which JetStream recognises a retry for {} s. Without \
                    an idempotency key, the id of the event.",
                DUPLICATE_WINDOW.as_secs()
            )),
            "traceparent": text("The W3C Trace Context of the request that caused the event, if the request had one."),
        },
    })
}

fn typing_channel() -> (String, Value) {
    let messages = Map::from_iter([reference("typing")]);
    ("typing".to_owned(), describe_channel("typing", "The members who are typing.", TYPING, messages))
}

fn typing() -> Value {
    let user = json!({ "type": "string", "format": "uuid", "description": "The user who is typing." });
    json!({
        "type": "object",
        "description": "A user is typing.",
        "required": ["user_id"],
        "properties": { "user_id": user },
    })
}

fn typing_message() -> (String, Value) {
    let message = json!({
        "name": "typing",
        "title": "typing",
        "summary": "A user is typing. The message has no headers.",
        "contentType": "application/json",
        "payload": { "$ref": "#/components/schemas/typing" },
        "examples": [{ "payload": { "user_id": EXAMPLE_USER } }],
    });
    ("typing".to_owned(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Command, Conversation, MAX_FIRST_MEMBERS, Metadata, NewMember, Text, Title},
        log::limits::MAX_EVENT_BYTES,
    };

    fn id(n: u128) -> UserId {
        UserId::known(uuid::Uuid::from_u128(0x0193_0f3c_5a7b_7c3d_8e4f_0000_0000_0000 + n))
    }

    #[test]
    fn the_largest_events_fit_the_log() {
        const HEADERS: usize = 1024;
        let title = Title::try_from("\"".repeat(Title::LIMIT)).expect("a title");
        let members = (1..MAX_FIRST_MEMBERS as u128).map(|n| NewMember::plain(id(n))).collect();
        let group = Conversation::default().decide(id(0), Command::StartGroup { title, members });
        let text = Text::try_from("\n".repeat(Text::LIMIT - 1) + "x").expect("a text");
        let message = Event::MessageSent(crate::domain::MessageSent {
            message_id: EXAMPLE_EVENT.parse().expect("an id"),
            client_id: "x".repeat(64),
            text: text.into(),
            reply_to: Some(EXAMPLE_EVENT.parse().expect("an id")),
            reply_to_position: Some(crate::domain::Position::MAX),
            metadata: format!(r#"{{"a":"{}"}}"#, "x".repeat(Metadata::LIMIT - 8)).parse().ok(),
            // No text has room for more.
            mentions: (0..Text::LIMIT as u128 / 39).map(id).collect(),
        });
        for event in [group.expect("it is allowed").expect("an event"), message] {
            let bytes = event.data().expect("JSON").len() + HEADERS;
            assert!(bytes <= MAX_EVENT_BYTES as usize, "{} has {bytes} bytes", event.word());
        }
    }

    #[test]
    fn a_schema_is_served_by_its_file_name_and_nothing_else_is() {
        let files = schema_files();
        let text = files.get("verbatim.message.sent.v1.json").expect("a schema");
        assert!(text.contains(r#""$id": "/schemas/verbatim.message.sent.v1.json""#), "{text}");
        for name in ["verbatim.message.sent.v1", "message.sent.json", "../verbatim.message.sent.v1.json", ""]
        {
            assert_eq!(files.get(name), None, "{name}");
        }
    }
}
