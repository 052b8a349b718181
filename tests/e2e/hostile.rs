//! Malformed messages in the log harm at most their own conversation.

use async_nats::{HeaderMap, jetstream};
use verbatim::dev::NatsUser;

use crate::world::{Conversation, Person, World, eventually, key};

/// Publishes a malformed message into the timeline of a conversation, with one custom header.
async fn plants(
    world: &World,
    by: &Person,
    into: &Conversation,
    kind: &str,
    header: (&str, &str),
    data: &[u8],
) -> u64 {
    let id = uuid::Uuid::now_v7().to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &id),
        ("ce-type", &format!("verbatim.{kind}.v1")),
        ("ce-source", &format!("/conversations/{}", into.id)),
        ("ce-time", "2026-11-24T13:10:00.123Z"),
        ("ce-datacontenttype", "application/json"),
        ("ce-actor", &by.id),
        header,
    ] {
        headers.insert(name, value);
    }
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let subject = format!("chat.{}.{}.timeline", &into.id[into.id.len() - 2..], into.id);
    let stored = jetstream.publish_with_headers(subject, headers, data.to_vec().into()).await;
    stored.expect("published").await.expect("stored").sequence
}

fn message(text: &str, more: &str) -> String {
    let id = uuid::Uuid::now_v7();
    format!(r#"{{"message_id":"{id}","client_id":"{}","text":"{text}"{more}}}"#, key())
}

#[tokio::test]
async fn a_hostile_event_parks_its_conversation_and_ends_nothing() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let mut device = ben.connects().await;
    let mut cases: Vec<((&str, &str), Vec<u8>)> = Vec::new();
    for time in [
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60-23:59",
        "0000-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
    ] {
        cases.push((("ce-time", time), message("hi", "").into_bytes()));
    }
    // Postgres stores no such text, and no such key in an index.
    cases.push((("ce-x", ""), message("a\\u0000b", "").into_bytes()));
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 59) as u32, 36).expect("a digit")
    });
    let noise: String = noise.take(40_000).collect();
    let keyed = format!(r#"{{"message_id":"{}","client_id":"{noise}","text":"hi"}}"#, uuid::Uuid::now_v7());
    cases.push((("ce-x", ""), keyed.into_bytes()));
    // Bytes that are not valid text, in a field that nobody reads.
    let mut bytes = message("hi", r#","surprise":"?""#).into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').expect("the mark");
    bytes[at] = 0xff;
    cases.push((("ce-x", ""), bytes));

    let mut spoilt = Vec::new();
    for (header, data) in &cases {
        let lunch = ana.starts_group("Lunch", &[&ben]).await;
        let before = ana.says(&lunch, "before").await["position"].as_u64().expect("position");
        assert_eq!(ana.history(&lunch, before).await, ["before"]);
        plants(&world, &ana, &lunch, "message.sent", *header, data).await;
        spoilt.push(lunch);
    }
    let dinner = ana.starts_group("Dinner", &[&ben]).await;
    let position = ana.says(&dinner, "elsewhere").await["position"].as_u64().expect("position");
    device.sees("elsewhere").await;
    assert_eq!(ana.history(&dinner, position).await, ["elsewhere"]);
    for lunch in &spoilt {
        ana.says(lunch, "after").await;
        device.sees("after").await;
        assert_eq!(ana.history(lunch, 0).await, ["before"], "its views stand still");
    }
    let warning = format!("{} events are parked", cases.len());
    eventually("the node warns of what is parked", || async {
        let (status, body) = world.nodes[0].readiness().await;
        assert_eq!(status, 200, "{body}");
        body["warning"].as_str().is_some_and(|told| told.contains(&warning))
    })
    .await;
    let verified = world.runs(&["verify"]).await;
    assert!(verified.code == Some(0) && verified.stdout.contains(&warning), "{verified:?}");
    let meant = [
        "could not read an event; skipped it",
        "could not apply an event; the views of its conversation stop there (see table `parked`)",
    ];
    world.finish_with_errors(&meant).await;
}

#[tokio::test]
async fn what_was_stored_by_other_rules_is_shown_at_every_door() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    let cursor = device.cursor();
    // Characters that are not allowed in input, no text at all, invalid keys and metadata, unknown fields,
    // numbers of any size, and line breaks between the parts.
    let more = ",\n\"metadata\":[1.10,{\"a\":1,\"a\":2}],\"surprise\":12345678901234567890123,\r\n\"deep\":"
        .to_owned()
        + &"[".repeat(100)
        + &"]".repeat(100);
    let strange = message("\\u001b[31m lantern \\u200b\\ufffe", &more);
    let empty = message("", "").replace(r#""client_id":""#, r#""client_id":"k "#);
    let strange = plants(&world, &ana, &lunch, "message.sent", ("ce-x", ""), strange.as_bytes()).await;
    plants(&world, &ana, &lunch, "message.sent", ("ce-x", ""), empty.as_bytes()).await;
    let last = ana.says(&lunch, "a lantern").await["position"].as_u64().expect("position");
    device.sees("a lantern").await;
    let texts = ["\u{1b}[31m lantern \u{200b}\u{fffe}", "", "a lantern"];
    let shown: Vec<_> = device
        .seen
        .iter()
        .filter(|frame| frame["op"] == "event")
        .map(|frame| frame["data"]["text"].clone())
        .collect();
    assert_eq!(shown, texts);

    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    for path in [
        format!("{messages}?min_position={last}"),
        format!("{messages}?as_of={last}"),
        format!("{messages}?around={strange}"),
        "/v1/messages?query=lantern".into(),
        format!("/v1/events?after={cursor}"),
    ] {
        let answer = ben.gets_bytes(&path).await;
        assert!(answer.contains("a lantern") && answer.contains("\\u001b[31m lantern"), "{path}: {answer}");
        assert!(answer.contains(r#""metadata":[1.10,{"a":1,"a":2}]"#), "{path}: {answer}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_time_that_nobody_can_keep_is_refused_wherever_it_stands() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    for time in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00%2B23:59", "9999-12-31T23:59:60-23:59"] {
        for what in ["/members", "/messages", "/receipts"] {
            let path = format!("/v1/conversations/{}{what}?as_of={time}", notes.id);
            ana.get(&path).await.expect(400);
        }
        let typed = time.replace("%2B", "+");
        let muted = serde_json::json!({ "muted_until": typed });
        let answer = ana.patch(&format!("/v1/conversations/{}/settings", notes.id), muted).await;
        assert_eq!(answer.refuses(400, "invalid_body")["errors"][0]["pointer"], "/muted_until");
    }
    world.finish().await;
}
