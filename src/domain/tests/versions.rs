//! A type gets a second version. The tests show how each release handles both versions, from the release that knows
//! only the first to the release that writes the second.
//!
//! Each release is this program with a different line in `events!`: CONTRIBUTING.md has the steps. `tests/e2e/newer.rs`
//! gives the same message to the real program, which knows only the first version, on real servers.

#![allow(unreachable_pub, reason = "the macro writes the methods of a public enum, too")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{
    ContentErased, ConversationId, ErasedEntry, Event, EventType, Lane, MessageId, MessageSent, Position,
    Recorded, Text, stored::event::events, words::schema::schema_of_written,
};

/// The second version: a message may consist of several parts, where the first has one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct MessageInParts {
    message_id: MessageId,
    client_id: String,
    #[schemars(with = "Vec<Text>")]
    parts: Vec<String>,
}

impl From<MessageSent> for MessageInParts {
    fn from(sent: MessageSent) -> Self {
        Self { message_id: sent.message_id, client_id: sent.client_id, parts: vec![sent.text] }
    }
}

impl From<MessageInParts> for MessageSent {
    fn from(sent: MessageInParts) -> Self {
        Self {
            message_id: sent.message_id,
            client_id: sent.client_id,
            text: sent.parts.join("\n"),
            reply_to: None,
            reply_to_position: None,
            metadata: None,
            mentions: Vec::new(),
        }
    }
}

/// The next release reads both versions and writes the first, because nodes of this release may still be running.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NextEvent {
    MessageSent(MessageSent),
}

events! {
    NextEvent:
    MessageSent MessageSent Timeline "message.sent" also "message.sent.v2" MessageInParts;
}

/// The release after that writes the second version, and still reads the first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LaterEvent {
    MessageSent(MessageInParts),
}

events! {
    LaterEvent:
    MessageSent MessageInParts Timeline "message.sent.v2" also "message.sent" MessageSent;
}

/// The payload of a message as the stream stores it.
fn payload(sample: &str) -> Vec<u8> {
    let sample: Value = serde_json::from_str(sample).expect("JSON");
    sample["payload"].as_str().expect("a payload").into()
}

fn first() -> Vec<u8> {
    payload(include_str!("../../../tests/contract/events/message.sent.json"))
}

fn second() -> Vec<u8> {
    payload(include_str!("../../../tests/contract/newer/message.sent.v2.json"))
}

#[test]
fn this_release_leaves_the_second_version_unread() {
    assert!(Event::read("message.sent.v2", &second()).is_none());
}

#[test]
fn the_next_release_reads_both_and_writes_the_first() {
    let Some(Ok(NextEvent::MessageSent(read))) = NextEvent::read("message.sent.v2", &second()) else {
        panic!("unread")
    };
    assert_eq!(read.text, "Lunch at one?\nOr at two?");
    let event = NextEvent::MessageSent(read.clone());
    assert_eq!((event.word(), event.lane()), ("message.sent", Lane::Timeline));
    let written = event.data().expect("JSON");
    assert_eq!(
        Event::read("message.sent", &written).expect("known").expect("read"),
        Event::MessageSent(read)
    );
}

#[test]
fn the_release_after_it_upcasts_the_first_and_writes_the_second() {
    let Some(Ok(Event::MessageSent(sent))) = Event::read("message.sent", &first()) else { panic!("unread") };
    let Some(Ok(LaterEvent::MessageSent(upcast))) = LaterEvent::read("message.sent", &first()) else {
        panic!("unread")
    };
    assert_eq!((upcast.message_id, upcast.parts), (sent.message_id, vec![sent.text]));
    let event = LaterEvent::read("message.sent.v2", &second()).expect("known").expect("read");
    assert_eq!((event.word(), event.lane()), ("message.sent.v2", Lane::Timeline));
    assert_eq!(event.data().expect("JSON"), second(), "it is written as it was read");
}

#[test]
fn both_versions_are_published() {
    assert_eq!(NextEvent::TYPES, ["message.sent", "message.sent.v2"]);
    assert_eq!(LaterEvent::TYPES, ["message.sent.v2", "message.sent"]);
    let schema = |types: Vec<EventType>, word: &str| {
        types.into_iter().find(|of| of.word == word).expect("the type").schema
    };
    let first = schema(LaterEvent::types(), "message.sent");
    assert_eq!(first, schema(Event::types(), "message.sent"), "the first version stays as it is");
    assert_eq!(schema(NextEvent::types(), "message.sent.v2")["properties"]["parts"]["type"], json!("array"));
}

#[test]
fn an_erased_message_of_the_second_version_is_a_message_and_its_skeleton_is_read_by_those_who_read_it() {
    let conversation = ConversationId::known(uuid::Uuid::nil());
    let Some(Event::ContentErased(ContentErased { erased, .. })) =
        Recorded::erasing(9, conversation, &[3]).event
    else {
        panic!("no erasure")
    };
    let [first] = &erased[..] else { panic!("one position") };
    let second = ErasedEntry { kind: "message.sent.v2".into(), ..first.clone() };
    let edit = ErasedEntry { message_position: Some(Position(2)), ..second.clone() };
    assert!(first.is_message() && second.is_message() && !edit.is_message());
    let skeleton = |entry: &ErasedEntry| entry.skeleton(conversation, Position(9), first.time);
    assert!(matches!(skeleton(first).event, Some(Event::MessageSent(_))));
    assert_eq!((skeleton(&second).event, skeleton(&second).word), (None, second.kind), "this release");
    assert!(NextEvent::TYPES.contains(&"message.sent.v2"), "the next release");
}
