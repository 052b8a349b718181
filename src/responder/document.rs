//! The commands' part of the AsyncAPI document: one channel, and the request and reply on it.

use serde_json::{Map, Value, json};

use super::{
    commands::{COMMANDS, KEY, MAX_BODY},
    reply::{ERROR, ERROR_CODE, HEADERS, STATUS},
    serving::{DEADLINE, DEADLINE_HEADER, LATEST},
};

/// The channel `commands`, its operation and its messages.
pub(crate) fn channels() -> Value {
    json!({
        "channels": { "commands": {
            "address": "verbatim.commands.{name}.{command}",
            "summary": "Changes and reads by programs, each answered like its operation of REST.",
            "description": "Core NATS, request and reply: no stream stores a command. A request without an answer may have \
                been carried out, and the same request, with the same `client_id`, gets its answer. Where NATS says that \
                there are no responders, nothing has happened.",
            "servers": [{ "$ref": "#/servers/nats" }],
            "parameters": {
                "name": {
                    "description": "The NATS name of the program: nats-server lets it publish under no other.",
                    "examples": ["robot"],
                },
                "command": {
                    "description": "The operation.",
                    "enum": COMMANDS.iter().map(|command| command.word).collect::<Vec<_>>(),
                },
            },
            "messages": {
                "command": { "$ref": "#/components/messages/command" },
                "command_reply": { "$ref": "#/components/messages/command_reply" },
            },
        } },
        "operations": { "answer_command": {
            "action": "receive",
            "channel": { "$ref": "#/channels/commands" },
            "summary": "Verbatim answers a command.",
            "description": "The reply goes to the reply subject of the request. A change that is sent again with the same \
                `client_id` is answered as the first time.",
            "messages": [{ "$ref": "#/channels/commands/messages/command" }],
            "reply": { "messages": [{ "$ref": "#/channels/commands/messages/command_reply" }] },
        } },
        "components": { "messages": { "command": command(), "command_reply": reply() } },
    })
}

fn command() -> Value {
    let rows: String =
        COMMANDS.iter().map(|of| format!("\n| `{}` | `{} {}` |", of.word, of.method, of.path)).collect();
    json!({
        "title": "command",
        "summary": "A request.",
        "description": format!(
            "A JSON object of at most {MAX_BODY} bytes: the body that the operation takes in the OpenAPI document, and its \
             path parameters, or the query of a read, as further fields. Unknown fields are refused.\n\n\
             | command | operation |\n|---|---|{rows}"
        ),
        "contentType": "application/json",
        "headers": { "type": "object", "properties": {
            DEADLINE_HEADER: { "type": "string", "pattern": "^[0-9]+$", "description": format!(
                "How long the sender waits, in milliseconds: {} unless given, {} at most. A node that gets the command \
                 later does not begin it.",
                DEADLINE.as_millis(), LATEST.as_millis()
            ) },
            "Verbatim-On-Behalf-Of": { "type": "string", "description": "The user for whom the program acts." },
            "traceparent": { "type": "string", "description": "The trace (W3C Trace Context)." },
        } },
        "payload": { "type": "object", "additionalProperties": true, "properties": {
            KEY: { "type": "string", "description": "The idempotency key. Every change requires it." },
        } },
        "examples": [{ "payload": {
            "conversation_id": "01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a49",
            KEY: "01930f3c-6b1a-7d20-a5c4-9e8d7c6b5a4a",
            "text": "hello",
        } }],
    })
}

fn reply() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut headers: Map<String, Value> = HEADERS
        .iter()
        .map(|(name, here)| ((*here).to_owned(), text(&format!("As `{name}` of REST."))))
        .collect();
    headers.insert(STATUS.to_owned(), text("The status of REST."));
    headers.insert(ERROR_CODE.to_owned(), text("The status again, if it is an error (ADR-32 of NATS)."));
    headers.insert(ERROR.to_owned(), text("The code of the problem, if there is one (ADR-32 of NATS)."));
    json!({
        "title": "command_reply",
        "summary": "The answer: what the operation of REST answers.",
        "description": "The body of the answer, or the problem (RFC 9457). It is empty where REST answers without a body.",
        "contentType": "application/json",
        "headers": { "type": "object", "required": [STATUS], "properties": headers },
        "payload": { "type": "object", "additionalProperties": true },
    })
}
