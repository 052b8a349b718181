//! The WebSocket half of the AsyncAPI document, made from the types of the frames and the reasons
//! to close.

use serde_json::{Map, Value, json};

use crate::{
    domain::{EventType, schema_of_read, schema_of_written, shapes_by_type},
    gateway::frames::{client::ClientFrame, close::Close, server::ServerFrame},
    log,
};

/// The subprotocol that this server speaks.
pub const PROTOCOL: &str = "verbatim.v1";

const SERVER: &str = "\
The handshake carries the access token in `Authorization: Bearer …` or, for browsers, as a second subprotocol entry \
`bearer.<token>`. A token in the URL is refused. A request without a token gets 401. Browsers hide the status of a \
handshake from the page, so a request with an invalid token gets 101, and then the server closes the socket with 4401 \
if the token has expired and with 4501 otherwise.";

const CHANNEL: &str = "\
Frames are JSON text, one object each. A client sends `hello` within 10 s as its first frame, and the server answers \
with `ready`. A frame from a client may carry an `id` of up to 64 characters, which the answer echoes. A client uses the \
same `client_id` for every retry, and the server sends the message once. Each `event` names the previous event of its \
conversation, so that a client notices a gap at once. A client ignores frames and fields that it does not know.

Rate limits are the same for frames and requests; `/v1/info` lists them. A frame above a limit has no effect: the \
server answers with an `error` `rate_limited` that names the `policy` and the time to wait. `typing` and `presence` \
frames above their limits are dropped without an answer. If a client ignores the time to wait with 20 frames within 60 \
s, the server closes the socket with 4408.

An overloaded node refuses frames in this order: `typing`, `presence`, receipts, and last of all every frame that \
changes a conversation. The frame has no effect, and an `error` `temporary_reduced_capacity` names the time to wait. \
`typing` and `presence` frames are dropped without an answer. A `hello` with a cursor gets the same `error`, and then \
the socket is closed with 1013.

A client may send a burst of 2,000 frames or 16 MB, then 200 frames and 1 MB per second, and 10 pings and pongs per \
second, fragments included. Beyond that, the server closes the socket with 4408 at once. Frames that wait because the \
server is busy do not count against the client here.

The close reason is `word;retry_after_ms=N`. After a code from 4000 to 4499, a client reconnects with its cursor; \
after a code from 4500 to 4999, it does not. It also reconnects with its cursor after 1012, 1013 and 1001, and after a \
connection that was lost without a close frame (a library reports 1006). It first waits for the time in the reason; \
without a reason, it waits about a second, and longer after each failed attempt. After 1002, 1003, 1007 and 1009 the \
client has a fault. 1001 and 4505 are reserved: a process that exits closes with 1012 first, and the handshake refuses \
a client that does not offer this version of the protocol with 400 `unknown_protocol`.";

const RECEIVE: &str = "\
The first frame is `hello`. The server answers each command with an `ack` or `error` that carries the `id` of the \
command.";
const SEND: &str = "\
The first frame is `ready`. Events of one conversation arrive in the order of their positions.";
const EVENT: &str = "\
An event. `type` determines the fields of `data`. Later versions of the server add types: a client treats an event of \
an unknown type as a link of the chain (`previous`) and ignores its data.";

/// The WebSocket half of the AsyncAPI document: its `servers`, `channels`, `operations` and
/// `components`.
pub fn channels() -> Value {
    let from_client = frames("client", schema_of_read::<ClientFrame>());
    let mut from_server = frames("server", schema_of_written::<ServerFrame<'_>>());
    let events = type_events(&mut from_server);
    let names = |frames: &[Frame]| frames.iter().map(|frame| frame.name.clone()).collect::<Vec<_>>();
    let (sent, received) = (names(&from_server), names(&from_client));
    let all: Vec<Frame> = from_client.into_iter().chain(from_server).collect();
    let messages: Map<String, Value> = all.iter().map(Frame::message).collect();
    let schemas = all.into_iter().map(|frame| (frame.name, frame.schema)).chain(events);
    json!({
        "servers": { "gateway": {
            "host": "{host}",
            "protocol": "ws",
            "description": SERVER,
            "variables": { "host": { "default": "localhost:8080", "description": "Host and port of a gateway." } },
            "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
        } },
        "channels": { "socket": {
            "address": "/v1/ws",
            "summary": format!("One session. Subprotocol `{PROTOCOL}`."),
            "description": format!("{CHANNEL}\n\n{}", reasons()),
            "servers": [{ "$ref": "#/servers/gateway" }],
            "messages": messages.keys().map(|name| reference(name, "#/components/messages"))
                .collect::<Map<_, _>>(),
        } },
        "operations": {
            "receive_frames": operation("receive", "The server receives a frame from a client.", RECEIVE, &received),
            "send_frames": operation("send", "The server sends a frame to a client.", SEND, &sent),
        },
        "components": {
            "messages": messages,
            "schemas": schemas.collect::<Map<_, _>>(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The access token of a login.",
            } },
        },
    })
}

/// A frame in the document, with a name such as `server.event`.
struct Frame {
    name: String,
    op: String,
    schema: Value,
    example: Value,
}

impl Frame {
    fn message(&self) -> (String, Value) {
        let message = json!({
            "name": self.name,
            "title": self.op,
            "summary": self.schema["description"],
            "contentType": "application/json",
            "payload": { "$ref": format!("#/components/schemas/{}", self.name) },
            "examples": [{ "payload": self.example }],
        });
        (self.name.clone(), message)
    }
}

/// The frames of one side, which are the variants of its schema.
fn frames(side: &str, mut schema: Value) -> Vec<Frame> {
    let choices = schema.get_mut("oneOf").and_then(Value::as_array_mut).map(std::mem::take);
    let frame = |mut schema: Value| {
        let op = schema["properties"]["op"]["const"].as_str()?.to_owned();
        let mut examples = schema.as_object_mut()?.remove("examples")?;
        Some(Frame { name: format!("{side}.{op}"), op, schema, example: examples[0].take() })
    };
    choices.into_iter().flatten().filter_map(frame).collect()
}

/// Turns the frame `event` into a choice of one shape per type, and returns the shapes by name.
/// A discriminator of AsyncAPI holds the name of a schema, so each shape has the name of its type.
fn type_events(frames: &mut [Frame]) -> Vec<(String, Value)> {
    let Some(frame) = frames.iter_mut().find(|frame| frame.op == "event") else { return Vec::new() };
    let data = |of: &EventType| reference(&log::type_name(of.word), "#/components/schemas").1;
    let shapes = shapes_by_type(&frame.schema, data);
    if let Some((of, _)) = shapes.iter().find(|(of, _)| frame.example["type"] == of.word) {
        frame.example["data"] = of.schema["examples"][0].clone();
    }
    frame.schema = json!({
        "type": "object",
        "description": EVENT,
        "oneOf": shapes.iter().map(|(of, _)| reference(of.word, "#/components/schemas").1).collect::<Vec<_>>(),
        "discriminator": "type",
    });
    shapes.into_iter().map(|(of, shape)| (of.word.to_owned(), shape)).collect()
}

fn reasons() -> String {
    let lines = Close::ALL.map(|close| format!("- {}: `{}`", close.code(), close.word()));
    lines.join("\n")
}

fn reference(name: &str, below: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("{below}/{name}") }))
}

fn operation(action: &str, summary: &str, description: &str, names: &[String]) -> Value {
    let messages = names.iter().map(|name| reference(name, "#/channels/socket/messages").1);
    json!({
        "action": action,
        "channel": { "$ref": "#/channels/socket" },
        "summary": summary,
        "description": description,
        "messages": messages.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_a_client_is_a_frame() {
        let frames = frames("client", schema_of_read::<ClientFrame>());
        let ops: Vec<&str> = frames.iter().map(|frame| frame.op.as_str()).collect();
        let wanted = [
            "hello",
            "send",
            "edit",
            "delete",
            "react",
            "unreact",
            "pin",
            "unpin",
            "read",
            "delivered",
            "typing",
            "presence",
            "authenticate",
            "ping",
        ];
        assert_eq!(ops, wanted);
        for frame in frames {
            let text = frame.example.to_string();
            ClientFrame::read(&text).unwrap_or_else(|e| panic!("{text}: {}", e.detail));
        }
    }

    #[test]
    fn every_frame_of_the_server_is_described() {
        let document = channels();
        let sent = document["operations"]["send_frames"]["messages"].as_array().expect("messages");
        let ops: Vec<&str> = sent.iter().filter_map(|m| m["$ref"].as_str()?.rsplit('.').next()).collect();
        let wanted = [
            "ready",
            "conversations",
            "event",
            "ack",
            "error",
            "presence",
            "typing",
            "invited",
            "user",
            "heartbeat",
            "caught_up",
            "reset",
            "pong",
        ];
        assert_eq!(ops, wanted);
        let event = &document["components"]["messages"]["server.event"]["examples"][0]["payload"];
        assert_eq!(
            (&event["type"], &event["data"]["text"]),
            (&json!("message.sent"), &json!("Lunch at one?"))
        );
    }

    #[test]
    fn every_reason_to_close_is_told() {
        let document = channels();
        let told = document["channels"]["socket"]["description"].as_str().expect("a description");
        for close in Close::ALL {
            assert!(told.contains(&format!("{}: `{}`", close.code(), close.word())), "{close:?}");
        }
    }
}
