//! The log of the version before contract levels, recorded once with that version's own binary. Every later version has
//! to read it. `tests/contract/log.json` has each message as it was stored in the four streams, and the messages as the
//! old version showed them. Building the old version in every run would take minutes and the git history; the recorded
//! log needs neither. For a downgrade, this version appends no event that the old one does not know.

use std::collections::BTreeMap;

use async_nats::{HeaderMap, HeaderName, jetstream};
use serde::Deserialize;
use verbatim::{dev::NatsUser, domain::Event};

use crate::world::{World, eventually};

#[derive(Deserialize)]
struct Recording {
    streams: Vec<Vec<Recorded>>,
    messages: Vec<Shown>,
}

#[derive(Deserialize)]
struct Recorded {
    subject: String,
    headers: BTreeMap<String, String>,
    data: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Shown {
    conversation_id: String,
    position: i64,
    sender: String,
    text: String,
    deleted: bool,
    pinned: bool,
}

/// The messages as the views show them, in the order of conversations and positions.
const MESSAGES: &str = "
    select coalesce(json_agg(json_build_object(
        'conversation_id', m.conversation_id, 'position', m.position, 'sender', m.sender, 'text', m.text,
        'deleted', m.deleted_at is not null,
        'pinned', exists (select from view.pin p where p.conversation_id = m.conversation_id and p.message = m.position)
    ) order by m.conversation_id, m.position), '[]')::text from view.message m";

#[tokio::test]
async fn the_log_of_the_version_before_is_read_as_that_version_read_it() {
    let recording: Recording =
        serde_json::from_str(include_str!("../contract/log.json")).expect("the recording is JSON");
    let mut world = World::empty(recording.streams.len()).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let mut types = Vec::new();
    for (index, stream) in recording.streams.iter().enumerate() {
        for (recorded, position) in stream.iter().zip(1..) {
            let mut headers = HeaderMap::new();
            // Headers that tell the server how to store a message are not part of it.
            let kept = recorded.headers.iter().filter(|(name, _)| name.starts_with("ce-"));
            for (name, value) in kept {
                headers.insert(name.parse::<HeaderName>().expect(name), value.as_str());
            }
            types.push(recorded.headers["ce-type"].clone());
            let stored = jetstream
                .publish_with_headers(recorded.subject.clone(), headers, recorded.data.clone().into())
                .await
                .expect("published")
                .await
                .expect("stored");
            assert_eq!((stored.stream, stored.sequence), (format!("CHAT_{index}"), position));
        }
    }
    // Presence is in another stream, which is not recorded, and erasures were added later.
    for word in Event::TYPES.iter().filter(|word| !["presence.changed", "content.erased"].contains(word)) {
        assert!(types.contains(&verbatim::log::type_name(word)), "{word} is not in the recording");
    }

    world.add_node("api,gateway,projector").await;
    let mut expected = recording.messages;
    expected.sort_by(|a, b| (&a.conversation_id, a.position).cmp(&(&b.conversation_id, b.position)));
    eventually("the views are as the old version had them", || async {
        let shown: String = world.database.finds(MESSAGES).await;
        let shown: Vec<Shown> = serde_json::from_str(&shown).expect("JSON");
        shown == expected
    })
    .await;
    let (status, body) = world.nodes[0].readiness().await;
    assert!(status == 200 && body.get("warning").is_none_or(serde_json::Value::is_null), "{body}");
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));
    world.finish().await;
}
