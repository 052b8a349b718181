//! Events of a newer version are part of the log for this version, too.

use async_nats::{HeaderMap, jetstream};
use serde_json::Value;
use verbatim::dev::NatsUser;

use crate::world::{Conversation, Device, Person, World, assert_linked};

/// Appends events with lanes and types that only a newer version knows.
pub struct Newer {
    jetstream: jetstream::Context,
    conversation: Conversation,
}

impl Newer {
    /// Adds a lane of a newer version to the streams.
    pub async fn version(world: &World, conversation: &Conversation) -> Self {
        let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
        let stream = operator.get_stream("CHAT_0").await.expect("the stream");
        let mut config = stream.cached_info().config.clone();
        config.subjects.push("chat.*.*.sealed".into());
        operator.update_stream(config).await.expect("an operator may");
        let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
        Self { jetstream, conversation: conversation.clone() }
    }

    /// Appends an event as a newer node would.
    pub async fn appends(&self, lane: &str, kind: &str, by: &Person) -> u64 {
        let data = r#"{"message_id":7,"text":["not","as","today"],"digits":1.10}"#;
        self.appends_data(lane, kind, by, data.to_owned()).await
    }

    async fn appends_data(&self, lane: &str, kind: &str, by: &Person, data: String) -> u64 {
        let id = &self.conversation.id;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &uuid::Uuid::now_v7().to_string()),
            ("ce-type", kind),
            ("ce-source", &format!("/conversations/{id}")),
            ("ce-time", "2026-11-24T13:10:00.123Z"),
            ("ce-datacontenttype", "application/json"),
            ("ce-actor", &by.id),
            ("ce-via", "something that is not known either"),
        ] {
            headers.insert(name, value);
        }
        let subject = format!("chat.{}.{id}.{lane}", &id[id.len() - 2..]);
        let stored = self.jetstream.publish_with_headers(subject, headers, data.into()).await;
        stored.expect("published").await.expect("stored").sequence
    }
}

/// The types of the events that a device received, from a position on.
fn told(device: &Device, from: u64) -> Vec<String> {
    let events = device.seen.iter().filter(|frame| frame["op"] == "event");
    let told = events.filter(|frame| frame["position"].as_u64().expect("position") >= from);
    told.map(|frame| frame["type"].as_str().expect("type").to_owned()).collect()
}

#[tokio::test]
async fn what_only_a_newer_version_knows_is_passed_on_and_harms_nothing() {
    let mut world = World::start().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let info = ana.get("/v1/info").await.expect(200);
    assert_eq!(info["contract"], serde_json::json!({ "reads": 2, "writes": 2 }));
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let newer = Newer::version(&world, &lunch).await;
    let mut device = ben.connects().await;
    let cursor = device.cursor();
    ana.says(&lunch, "before").await;
    // Eve is not a member: her events count in every lane that is not only for members.
    let first = newer.appends("control", "verbatim.content.moved.v1", &eve).await;
    newer.appends("sealed", "verbatim.message.sent.v1", &eve).await;
    newer.appends("timeline", "verbatim.message.sent.v2", &ana).await;
    let void = newer.appends("timeline", "verbatim.message.sent.v2", &eve).await;
    newer.appends("roster", "verbatim.member.added.v2", &ana).await;
    let after = ana.says(&lunch, "after").await["position"].as_u64().expect("position");

    let types = ["content.moved", "message.sent", "message.sent.v2", "member.added.v2", "message.sent"];
    device.sees("after").await;
    assert_eq!(told(&device, first), types);
    assert!(device.chain(&lunch).iter().all(|(position, _)| *position != void), "what is void is told");
    assert_linked(&device.chain(&lunch));
    let erased = device.seen.iter().find(|frame| frame["position"] == first).expect("the event");
    assert_eq!(erased["actor"], eve.id);

    let mut other = ben.resumes(&cursor).await;
    other.catches_up().await;
    assert_eq!(other.chain(&lunch), device.chain(&lunch));
    let events = ben.gets_bytes(&format!("/v1/events?after={cursor}")).await;
    assert_eq!(events.matches(r#""digits":1.10"#).count(), 4, "{events}");
    let events: Value = serde_json::from_str(&events).expect("JSON");
    let items = events["items"].as_array().expect("items");
    let shown: Vec<_> = items.iter().filter(|item| item["position"].as_u64() >= Some(first)).collect();
    assert_eq!(shown.iter().map(|item| item["type"].as_str().expect("type")).collect::<Vec<_>>(), types);

    // A node that has not followed these events finds the same head in log and views.
    let last = newer.appends("sealed", "verbatim.something.new.v9", &eve).await;
    let lunch_path = format!("/v1/conversations/{}", lunch.id);
    assert_eq!(ana.get(&format!("{lunch_path}?min_position={last}")).await.expect(200)["head"], last);
    world.nodes[0].stop().await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[1].address), ben.at(world.nodes[1].address));
    let said = ana.says(&lunch, "later").await["position"].as_u64().expect("position");
    let mut other = ben.resumes(&cursor).await;
    other.catches_up().await;
    assert_eq!(other.chain(&lunch).last(), Some(&(said, last)));
    assert_linked(&other.chain(&lunch));

    assert_eq!(ana.history(&lunch, said).await, ["before", "after", "later"]);
    let then = ana.get(&format!("{lunch_path}/messages?as_of={after}")).await.expect(200);
    assert_eq!(then["items"].as_array().expect("items").len(), 2);
    let (status, body) = world.nodes[1].readiness().await;
    assert!(status == 200 && body.get("warning").is_none_or(Value::is_null), "{body}");
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));
    assert_eq!(world.runs(&["migrate"]).await.code, Some(0));
    newer.appends("sealed", "verbatim.something.new.v9", &eve).await;
    world.finish().await;
}

/// The message is the same as the one that a newer program reads and writes in `src/domain/tests/versions.rs`.
#[tokio::test]
async fn the_second_version_of_a_type_is_written_beside_the_first_and_this_version_passes_it_on() {
    let sample: Value =
        serde_json::from_str(include_str!("../contract/newer/message.sent.v2.json")).expect("JSON");
    let written = sample["payload"].as_str().expect("a payload").to_owned();
    let kind = sample["headers"]["ce-type"].as_str().expect("a type");
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let newer = Newer::version(&world, &lunch).await;
    let mut device = ben.connects().await;
    ana.says(&lunch, "of version 1, before").await;
    let second = newer.appends_data("timeline", kind, &ana, written.clone()).await;
    let last = ana.says(&lunch, "of version 1, behind it").await["position"].as_u64().expect("a position");
    device.sees("of version 1, behind it").await;
    assert_linked(&device.chain(&lunch));
    let told = device.seen.iter().find(|frame| frame["position"] == second).expect("it is told");
    assert_eq!(told["type"], "message.sent.v2");
    assert_eq!(told["data"], serde_json::from_str::<Value>(&written).expect("JSON"), "with all its data");
    assert_eq!(ana.history(&lunch, last).await, ["of version 1, before", "of version 1, behind it"]);
    assert!(world.runs(&["status"]).await.stdout.contains("parked nothing"));
    world.finish().await;
}

#[tokio::test]
async fn a_version_that_is_too_old_for_the_log_refuses_it_and_says_so() {
    let mut world = World::start().await;
    world.nodes[0].stop().await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let config =
        async || jetstream.get_stream("CHAT_0").await.expect("the stream").cached_info().config.clone();
    let mut set = config().await;
    assert_eq!(set.metadata.insert("verbatim.reads".into(), "3".into()).as_deref(), Some("2"));
    jetstream.update_stream(set.clone()).await.expect("an operator may");
    for command in
        [&["check"][..], &["status"], &["verify"], &["migrate"], &["serve", "--listen", "127.0.0.1:0"]]
    {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        let said = ran.stdout + &ran.stderr;
        assert!(
            said.contains("too old for the log") && said.contains("contract level 3"),
            "{command:?}: {said}"
        );
    }
    assert_eq!(config().await.metadata["verbatim.reads"], "3", "nobody takes it away");

    // The log of an older version has neither this metadata nor the lane. `migrate` adds both.
    set.metadata.remove("verbatim.reads");
    set.subjects.retain(|subject| !subject.ends_with(".control"));
    jetstream.update_stream(set).await.expect("an operator may");
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));
    assert_eq!(world.runs(&["migrate"]).await.code, Some(0));
    let mended = config().await;
    assert_eq!(mended.metadata["verbatim.reads"], "2");
    assert!(mended.subjects.contains(&"chat.*.*.control".to_owned()), "{:?}", mended.subjects);
    world.add_node("api,gateway,projector").await;
    world.finish().await;
}
