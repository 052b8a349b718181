//! Other services read the log.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use verbatim::dev::NatsUser;

use crate::world::{World, ask};

#[tokio::test]
async fn a_program_reads_the_same_events_with_its_own_durable_consumer() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ana.connects().await;
    for text in ["one", "two", "three"] {
        ben.says(&lunch, text).await;
        device.sees(text).await;
    }

    let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let stream = jetstream.get_stream("CHAT_0").await.expect("the stream of part 5");
    let shard = &lunch.id[lunch.id.len() - 2..];
    let config = pull::Config {
        durable_name: Some("archive".into()),
        filter_subject: format!("chat.{shard}.{}.*", lunch.id),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a durable consumer");
    let mut messages =
        consumer.fetch().max_messages(4).expires(Duration::from_secs(5)).messages().await.expect("fetch");
    let mut read = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.expect("a message");
        message.ack().await.expect("ack");
        let header =
            |name: &str| message.headers.as_ref().expect("headers").get(name).expect(name).to_string();
        assert_eq!(header("ce-specversion"), "1.0");
        assert_eq!(header("ce-source"), format!("/conversations/{}", lunch.id));
        assert_eq!(header("ce-datacontenttype"), "application/json");
        let position = message.info().expect("info").stream_sequence;
        let data: Value = serde_json::from_slice(&message.payload).expect("JSON");
        read.push((
            position,
            header("ce-type"),
            header("ce-id"),
            header("ce-actor"),
            header("ce-time"),
            data,
        ));
    }
    for (_, kind, ..) in &read {
        let schema = ask(ana.address, Method::GET, &format!("/schemas/{kind}.json"), None).await.expect(200);
        assert_eq!(schema["$id"], format!("/schemas/{kind}.json"));
    }
    ask(ana.address, Method::GET, "/schemas/verbatim.message.sung.v1.json", None)
        .await
        .refuses(404, "not_found");
    assert_eq!((read[0].0, read[0].1.as_str()), (lunch.position, "verbatim.conversation.created.v1"));

    let shown = device.seen.iter().filter(|frame| frame["op"] == "event");
    for (frame, (position, kind, id, actor, time, data)) in shown.zip(&read[1..]) {
        assert_eq!(frame["position"], *position);
        assert_eq!(format!("verbatim.{}.v1", frame["type"].as_str().expect("type")), *kind);
        assert_eq!(
            (&frame["id"], &frame["actor"], &frame["time"]),
            (&id[..].into(), &actor[..].into(), &time[..].into())
        );
        assert_eq!(frame["data"], *data);
    }
    assert_eq!(read.len(), 4);
    world.finish().await;
}

#[tokio::test]
async fn the_trace_of_a_request_goes_on_in_its_event() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let stream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let stream = stream.get_stream("CHAT_0").await.expect("stream");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, kept) in [(trace, Some(trace)), ("00-not-a-trace-01", None)] {
        let said = ana.with_header("traceparent", sent).says(&notes, "traced").await;
        let position = said["position"].as_u64().expect("position");
        let event = stream.get_raw_message(position).await.expect("an event");
        assert_eq!(event.headers.get("traceparent").map(async_nats::HeaderValue::as_str), kept);
    }
    world.finish().await;
}

#[tokio::test]
async fn the_streams_are_as_the_contract_says() {
    let world = World::with_streams(4).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let mut epochs = std::collections::HashSet::new();
    for index in 0..4 {
        let stream = jetstream.get_stream(format!("CHAT_{index}")).await.expect("stream");
        let config = &stream.cached_info().config;
        assert_eq!(config.subjects.len(), 64 * 4);
        assert!(config.subjects.contains(&format!("chat.{:02x}.*.timeline", index * 64)));
        assert_eq!(config.max_age, Duration::ZERO);
        assert!(
            config.deny_purge && config.allow_direct && config.allow_atomic_publish && !config.allow_rollup
        );
        assert_eq!((config.duplicate_window, config.max_consumers), (Duration::from_secs(120), 1_000));
        epochs.insert(config.metadata["verbatim.epoch"].clone());
    }
    assert_eq!(epochs.len(), 1);
    let presence = jetstream.get_stream("PRESENCE").await.expect("stream");
    assert_eq!(presence.cached_info().config.max_age, Duration::from_secs(3600));
    world.finish().await;
}

#[tokio::test]
async fn what_is_kept_in_memory_reserves_little_of_it() {
    let world = World::start().await;
    let client = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let jetstream = jetstream::new(client);
    let mut reserved = 0;
    for stream in ["PRESENCE", "KV_verbatim_nodes", "KV_verbatim_here"] {
        let stream = jetstream.get_stream(stream).await.expect("it is there");
        let config = &stream.cached_info().config;
        assert!(
            config.storage == jetstream::stream::StorageType::Memory && config.max_bytes > 0,
            "{config:?}"
        );
        reserved += config.max_bytes;
    }
    assert!(reserved <= 100 << 20, "{reserved} bytes");
    world.finish().await;
}
