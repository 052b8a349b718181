//! Content is erased in the log: the positions are empty, an event in the lane `control` says why, and readers miss
//! nothing but the text. The story appends that event and deletes the messages by hand, as an operator.

use async_nats::{HeaderMap, jetstream};
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::world::{Conversation, Device, Person, World, assert_linked, eventually, key};

const MARKER: &str = "the purple elephant";

/// An operator's access to the only stream.
struct Hand(jetstream::Context);

impl Hand {
    async fn of(world: &World) -> Self {
        Self(jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS")))
    }

    async fn stream(&self) -> jetstream::stream::Stream {
        self.0.get_stream("CHAT_0").await.expect("the stream")
    }

    /// The skeleton of a message or an edit.
    async fn skeleton(&self, position: u64) -> Value {
        let message = self.stream().await.get_raw_message(position).await.expect("a message");
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
        let data: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let kind = header("ce-type").expect("a type");
        let mut entry = json!({
            "position": position, "id": header("ce-id"),
            "type": kind.strip_prefix("verbatim.").and_then(|kind| kind.strip_suffix(".v1")),
            "lane": "timeline", "actor": header("ce-actor"), "time": header("ce-time"),
            "message_id": data["message_id"], "client_hash": header("Nats-Msg-Id"), "counts": true,
        });
        if let Some(at) = data.get("message_position") {
            entry["message_position"] = at.clone();
        }
        entry
    }

    /// Appends the event that says that positions of a conversation are erased. Returns its position.
    async fn hides(&self, of: &Conversation, by: &Person, positions: &[u64]) -> u64 {
        let (id, mut headers, mut erased) = (&of.id, HeaderMap::new(), Vec::new());
        for position in positions {
            erased.push(self.skeleton(*position).await);
        }
        let event = uuid::Uuid::now_v7().to_string();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &event),
            ("ce-type", "verbatim.content.erased.v1"),
            ("ce-source", &format!("/conversations/{id}")),
            ("ce-time", "2026-11-24T13:10:00.123Z"),
            ("ce-datacontenttype", "application/json"),
            ("ce-actor", &by.id),
        ] {
            headers.insert(name, value);
        }
        let subject = format!("chat.{}.{id}.control", &id[id.len() - 2..]);
        let data = json!({ "request_id": event, "reason": "request", "erased": erased }).to_string();
        let stored = self.0.publish_with_headers(subject, headers, data.into()).await.expect("published");
        stored.await.expect("stored").sequence
    }

    async fn deletes(&self, positions: &[u64]) {
        let stream = self.stream().await;
        for position in positions {
            assert!(stream.delete_message(*position).await.expect("the operator may"));
        }
    }
}

/// Asserts that no answer contains the text, and that the message is shown as erased.
async fn is_gone(who: &Person, of: &Conversation, message: &str, [sent, last]: [u64; 2]) {
    let path = format!("/v1/conversations/{}/messages", of.id);
    let page = who.get(&format!("{path}?min_position={last}")).await.expect(200);
    assert!(!page.to_string().contains("elephant"), "{page}");
    let items = page["items"].as_array().expect("items");
    let erased = items.iter().find(|item| item["position"] == sent).expect("the message stands in its place");
    assert_eq!(
        (&erased["erased"], &erased["text"], &erased["id"]),
        (&json!(true), &json!(""), &json!(message))
    );
    assert!(items.iter().filter(|item| item["erased"] == true).count() == 1, "{page}");
    // The message is also erased in the past.
    for at in [sent, sent + 1, last] {
        let past = who.get(&format!("{path}?as_of={at}")).await.expect(200);
        assert!(!past.to_string().contains("elephant"), "as of {at}: {past}");
    }
    let found = who.get("/v1/messages?query=elephant").await.expect(200);
    assert_eq!(found["items"], json!([]));
    let versions = who.get(&format!("{path}/{message}/versions")).await.expect(200);
    assert_eq!(versions["items"], json!([]));
}

/// A device that was offline since before receives all events, in an unbroken chain and without the text.
async fn is_told_without_the_text(mut device: Device, of: &Conversation, message: &str, erased: &[u64]) {
    device.catches_up().await;
    let chain = device.chain(of);
    assert_linked(&chain);
    for position in erased {
        let frame =
            device.seen.iter().find(|frame| frame["position"] == *position).expect("it is in the chain");
        assert_eq!(frame["data"], json!({ "message_id": message, "erased": true }));
    }
    assert!(device.seen.iter().all(|frame| !frame.to_string().contains("elephant")));
}

#[tokio::test]
async fn erased_content_is_gone_from_every_door_and_nothing_else_is() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let cursor = ben.connects().await.cursor();
    ana.says(&lunch, "before").await;
    // The keys only grow, and the greatest ones belong to erased events.
    let (unused, key_of_marker, key_of_edit) = (key(), key(), key());
    let sent = ana.sends(&lunch, &key_of_marker, MARKER).await.expect(201);
    let (id, at) = (sent["id"].as_str().expect("id"), sent["position"].as_u64().expect("position"));
    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    let answer = json!({ "client_id": "the-answer", "text": "what?", "reply_to": id });
    ben.post(&messages, answer).await.expect(201);
    let edit = json!({ "text": format!("{MARKER}, edited") });
    let keyed = ana.with_header("idempotency-key", &key_of_edit);
    let edited = keyed.patch(&format!("{messages}/{id}"), edit.clone()).await.expect(200);
    let edited = edited["position"].as_u64().expect("position");
    ben.put(&format!("{messages}/{id}/reactions/👍"), json!({})).await.reached();
    ana.put(&format!("{messages}/{id}/pin"), json!({})).await.reached();
    let mut there = ben.connects().await;
    world.the_log_forgets_keys().await;

    let hand = Hand::of(&world).await;
    let told_at = hand.hides(&lunch, &ana, &[at, edited]).await;
    assert_eq!(there.gets_event("content.erased").await["data"]["erased"][0]["position"], at);
    is_gone(&ben, &lunch, id, [at, told_at]).await;
    is_told_without_the_text(ben.resumes(&cursor).await, &lunch, id, &[at, edited]).await;

    hand.deletes(&[at, edited]).await;
    let last = ben.says(&lunch, "after").await["position"].as_u64().expect("position");
    is_gone(&ben, &lunch, id, [at, last]).await;
    is_told_without_the_text(ben.resumes(&cursor).await, &lunch, id, &[at, edited]).await;
    // A retry is recognised for ever, and does not send the message again.
    ana.sends(&lunch, &key_of_marker, MARKER).await.refuses(410, "erased");
    keyed.patch(&format!("{messages}/{id}"), edit).await.refuses(410, "erased");
    there.sees("after").await;
    assert_linked(&there.chain(&lunch));

    // A process that has never read the text gives the same answers.
    world.nodes[0].stop().await;
    world.nodes.clear();
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    is_gone(&ben, &lunch, id, [at, last]).await;
    is_told_without_the_text(ben.resumes(&cursor).await, &lunch, id, &[at, edited]).await;
    // It does not have those keys in memory, and does not mistake them for new ones, before or after it has looked up
    // another.
    ana.sends(&lunch, &key_of_marker, MARKER).await.refuses(410, "erased");
    ana.sends(&lunch, &unused, "late").await.expect(201);
    ana.sends(&lunch, &key_of_marker, MARKER).await.refuses(410, "erased");
    let page = ben.get(&format!("/v1/events?after={cursor}&limit=200")).await.expect(200);
    assert!(!page.to_string().contains("elephant"), "{page}");
    for command in ["check", "status", "verify"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }

    // A hole next to it is still an error.
    hand.deletes(&[at + 1]).await;
    eventually("the alarm", || async { world.nodes[0].readiness().await.0 == 503 }).await;
    let checked = world.runs(&["check"]).await;
    assert!(checked.stdout.contains(&format!("CHAT_0 has no event at {}", at + 1)), "{checked:?}");
    world.finish_with_errors(&["refused a read: the log is damaged; see deploy/DISASTERS.md"]).await;
}

#[tokio::test]
async fn views_that_saw_the_text_are_those_that_never_did() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    let mut erased = Vec::new();
    for n in 0..6 {
        let text = format!("{MARKER} <@{}>", ben.id);
        let sent = ana.sends(&lunch, &format!("the-key-of-{n}"), &text).await.expect(201);
        let id = sent["id"].as_str().expect("id");
        erased.push(sent["position"].as_u64().expect("position"));
        ben.put(&format!("{messages}/{id}/reactions/👍"), json!({})).await.reached();
        ana.put(&format!("{messages}/{id}/pin"), json!({})).await.reached();
        if n % 2 == 0 {
            let keyed = ana.with_header("idempotency-key", &format!("the-edit-of-{n}"));
            let edited =
                keyed.patch(&format!("{messages}/{id}"), json!({ "text": MARKER })).await.expect(200);
            erased.push(edited["position"].as_u64().expect("position"));
        }
        if n % 3 == 0 {
            ana.delete(&format!("{messages}/{id}")).await.reached();
        }
    }
    // A message of a former member is void, but its key is known all the same.
    ana.removes(&lunch, &ben).await;
    let hand = Hand::of(&world).await;
    hand.hides(&lunch, &ana, &erased).await;
    let last = ana.says(&lunch, "after").await["position"].as_u64().expect("position");
    ana.history(&lunch, last).await;
    world.views_equal_a_rebuild().await;
    hand.deletes(&erased).await;
    world.finish().await;
}
