//! Metadata that programs add to a message comes back byte for byte.

use async_nats::jetstream;
use futures_util::{SinkExt as _, StreamExt};
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use verbatim::dev::NatsUser;

use crate::world::{Conversation, PATIENCE, Person, World, key, open};

/// Numbers that change as a machine number, and one that JSON libraries cannot parse once it is written out; member
/// names that are not sorted; escapes of characters that need none.
const TYPED: [&str; 4] = [
    r#"{"x":1.7976931348623157e308}"#,
    r#"{"n":[123456789012345678901,6.978903787370247e-41,110.00000000000001,-0.0,-0,1E+2,1.50]}"#,
    r#"{"z":{"b":1,"a":2},"a":[{},[],null,true," \u00e9\/é\n"]}"#,
    r#"{"9007199254740993":9007199254740993,"0":18446744073709551616}"#,
];

fn messages_of(conversation: &Conversation) -> String {
    format!("/v1/conversations/{}/messages", conversation.id)
}

async fn says(who: &Person, to: &Conversation, key: &str, metadata: &str) -> (u16, String) {
    let body = format!(r#"{{"client_id":"{key}","text":"a lantern","metadata":{metadata}}}"#);
    who.sends_bytes(Method::POST, &messages_of(to), &body).await
}

fn number(answer: &str, field: &str) -> u64 {
    serde_json::from_str::<Value>(answer).expect("JSON")[field].as_u64().expect("a number")
}

/// Reads frames as text, until there is one for each of these.
async fn frames(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
    all: &[String],
) {
    let mut missing: Vec<&String> = all.iter().collect();
    while !missing.is_empty() {
        let frame = timeout(PATIENCE, socket.next()).await.expect("a frame in time").expect("a frame");
        let Ok(Message::Text(text)) = frame else { panic!("no frame with {missing:?}: {frame:?}") };
        missing.retain(|part| !text.contains(part.as_str()));
    }
}

#[tokio::test]
async fn metadata_come_back_as_they_were_sent_through_every_door() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let device = ben.connects().await;
    let mut of_ben = open(ben.address, Some(&ben.token)).await.expect("a socket");
    of_ben.send(Message::text(r#"{"op":"hello"}"#)).await.expect("an open socket");
    let parts = TYPED.map(|typed| format!(r#""metadata":{typed}"#));

    let mut last = 0;
    let mut sent = Vec::new();
    for typed in TYPED {
        let key = key();
        let spread = typed.replace(':', " : ").replace(',', " ,\n");
        let (status, answer) = says(&ana, &lunch, &key, &spread).await;
        assert_eq!(status, 201, "{answer}");
        assert!(answer.contains(&format!(r#""metadata":{typed}"#)), "{answer}");
        last = number(&answer, "position");
        let (status, again) = says(&ana, &lunch, &key, typed).await;
        assert_eq!((status, again), (201, answer), "{typed}");
        sent.push(key);
    }
    let reordered = r#"{"a":[{},[],null,true," é/\u00e9\u000a"], "z":{"a":2,"b":1}}"#;
    assert_eq!(says(&ana, &lunch, &sent[2], reordered).await.0, 201, "it means the same");
    let another = r#"{"9007199254740993":9007199254740992,"0":18446744073709551616}"#;
    let (status, refused) = says(&ana, &lunch, &sent[3], another).await;
    assert_eq!(status, 409, "another number is another message: {refused}");
    assert!(refused.contains("idempotency_mismatch"), "{refused}");

    frames(&mut of_ben, &parts).await;
    let resumed = format!(r#"{{"op":"hello","cursor":"{}"}}"#, device.cursor());
    let mut again = open(ben.address, Some(&ben.token)).await.expect("a socket");
    again.send(Message::text(resumed)).await.expect("an open socket");
    frames(&mut again, &parts).await;

    let (messages, place) = (messages_of(&lunch), format!("min_position={last}"));
    let page = ben.gets_bytes(&format!("{messages}?{place}")).await;
    let first = serde_json::from_str::<Value>(&page).expect("JSON")["items"][3]["id"].clone();
    let doors = [
        page,
        ben.gets_bytes(&format!("{messages}?around={last}")).await,
        ben.gets_bytes(&format!("{messages}?as_of={last}")).await,
        ben.gets_bytes("/v1/messages?query=lantern").await,
        ben.gets_bytes(&format!("/v1/events?after={}", device.cursor())).await,
    ];
    for door in doors {
        for part in &parts {
            assert!(door.contains(part), "no {part} in {door}");
        }
    }
    let one = ben.gets_bytes(&format!("{messages}/{}", first.as_str().expect("an id"))).await;
    assert!(one.contains(&parts[0]), "{one}");

    let stream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let stream = stream.get_stream("CHAT_0").await.expect("the stream");
    for (number, part) in parts.iter().enumerate() {
        let event = stream.get_raw_message(lunch.position + 1 + number as u64).await.expect("an event");
        let data = String::from_utf8(event.payload.to_vec()).expect("text");
        assert!(data.contains(part), "no {part} in {data}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_socket_sends_metadata_as_they_were_typed() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut socket = open(ana.address, Some(&ana.token)).await.expect("a socket");
    socket.send(Message::text(r#"{"op":"hello"}"#)).await.expect("an open socket");
    for typed in TYPED {
        let key = key();
        let said = format!(
            r#"{{"metadata":{typed},"conversation_id":"{}","client_id":"{key}","text":"hi","op":"send"}}"#,
            notes.id
        );
        for _ in 0..2 {
            socket.send(Message::text(said.clone())).await.expect("an open socket");
            frames(&mut socket, &[r#"{"op":"ack""#.to_owned()]).await;
        }
        let body = format!(r#"{{"client_id":"{key}","text":"hi","metadata":{typed}}}"#);
        let (status, answer) = ana.sends_bytes(Method::POST, &messages_of(&notes), &body).await;
        assert_eq!(status, 201, "a retry through the other door: {answer}");
        assert!(answer.contains(&format!(r#""metadata":{typed}"#)), "{answer}");
    }
    world.finish().await;
}

#[tokio::test]
async fn metadata_that_some_reader_cannot_read_are_refused() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    for (metadata, code) in [
        (r#"{"a":1e400}"#, "out_of_range"),
        (r#"{"a":[{"b":1,"b":2}]}"#, "duplicate_field"),
        (r#"{"a":"\ud800"}"#, "forbidden_character"),
        (r#"{"a":"\u0000"}"#, "forbidden_character"),
        ("[1]", "wrong_type"),
    ] {
        let (status, answer) = says(&ana, &notes, &key(), metadata).await;
        assert_eq!(status, 400, "{metadata}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let error = (&answer["errors"][0]["pointer"], &answer["errors"][0]["code"]);
        assert_eq!(error, (&"/metadata".into(), &code.into()), "{metadata}");
    }
    world.finish().await;
}
