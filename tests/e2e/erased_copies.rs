//! Erasures in copies of the log that a deletion does not reach: mirrors, and copies of parked events.

use std::path::PathBuf;

use async_nats::jetstream::{
    self, AckKind, Context,
    stream::{Config, Source},
};
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::{
    consuming::{Tried, added, listed, next_of},
    erasing::{
        MARKER, asks, eventually_long, is_done, receipt, says_the_marker, starts_eraser_with, with_marker,
    },
    world::{Program, World, eventually},
};

async fn operator(world: &World) -> Context {
    jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"))
}

pub async fn makes_mirror(log: &Context, name: &str, other: Config) {
    let mirror =
        other.mirror.clone().unwrap_or_else(|| Source { name: "CHAT_0".into(), ..Source::default() });
    let mirror = Config { name: name.into(), mirror: Some(mirror), ..other };
    log.create_stream(mirror).await.expect("a mirror");
}

pub async fn last(log: &Context, stream: &str) -> u64 {
    log.get_stream(stream).await.expect("the stream").cached_info().state.last_sequence
}

/// The streams whose files contain the marker.
fn streams_with_marker(world: &World) -> Vec<String> {
    let stream = |path: &PathBuf| {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let at = parts.iter().position(|part| part == "streams");
        at.and_then(|at| parts.get(at + 1)).cloned().unwrap_or_else(|| path.display().to_string())
    };
    let mut found: Vec<String> = with_marker(world.nats.folder()).iter().map(stream).collect();
    found.sort();
    found.dedup();
    found
}

/// Parks the next events of a consumer by refusing each of them ten times.
async fn parks(world: &World, tried: &Tried, events: usize) {
    let mut given = tried.durable("CHAT_0", "slow").await.messages().await.expect("events");
    for _ in 0..10 * events {
        next_of(&mut given).await.ack_with(AckKind::Nak(None)).await.expect("sent");
    }
    drop(given);
    eventually("they are parked", || async { listed(world, "slow").await["parked"] == events }).await;
}

#[tokio::test]
async fn a_mirror_and_a_copy_for_a_consumer_lose_what_is_erased() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let log = operator(&world).await;
    makes_mirror(&log, "CHAT_0_COPY", Config::default()).await;
    let file = added(&world, "slow", &["--from", "now", "--lanes", "timeline"]).await;

    let mut erased = Vec::new();
    for n in [1, 2] {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
    }
    let tried = Tried::with(world.nats.url(), &file, "slow").await;
    parks(&world, &tried, 2).await;
    let ran =
        world.runs(&["consumers", "replay", "slow", "--parked", "--id", &erased[0].1.to_string()]).await;
    assert!(ran.stdout.starts_with("1 events"), "{ran:?}");
    for n in 3..9 {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
    }
    let kept = ana.says(&lunch, "this one stays").await["position"].as_u64().expect("a position");
    eventually("the mirror has all", || async { last(&log, "CHAT_0_COPY").await >= kept }).await;
    assert_eq!(streams_with_marker(&world), ["CHAT_0", "CHAT_0_COPY", "REPLAY"]);

    let unnamed = world.runs(&["check"]).await;
    assert!(
        unnamed.code == Some(0) && unnamed.stdout.contains("WARNING  mirrors: CHAT_0_COPY"),
        "{unnamed:?}"
    );
    let mirrors = ["--mirrors", "CHAT_0_COPY"];
    let named = world.runs(&[&["check"], &mirrors[..]].concat()).await;
    assert!(
        named.code == Some(0) && named.stdout.contains("ok       mirror: CHAT_0_COPY mirrors CHAT_0"),
        "{named:?}"
    );

    let mut eraser = starts_eraser_with(&world, &mirrors);
    let id = asks(&program, &erased).await;
    let done = is_done(&program, &id).await;
    assert_eq!(streams_with_marker(&world), [] as [&str; 0], "{done}");
    assert!(names(&done).is_empty(), "{done}");
    assert!(!has_passed(&done), "the consumer sleeps: {done}");
    let mirror = log.get_stream("CHAT_0_COPY").await.expect("the mirror");
    let there = mirror.get_raw_message(kept).await.expect("an event that is not erased");
    assert!(String::from_utf8_lossy(&there.payload).contains("this one stays"));
    let verified = world.runs(&[&["erasures", "verify", &id], &mirrors[..]].concat()).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");

    // A parked event that is erased is not delivered, and does not prevent the delivery of the others.
    let ran = world.runs(&["consumers", "replay", "slow", "--parked"]).await;
    assert!(ran.code == Some(0) && ran.stdout.starts_with("0 events"), "{ran:?}");
    assert_eq!(listed(&world, "slow").await["parked"], 0);
    assert_eq!(streams_with_marker(&world), [] as [&str; 0]);

    // When the consumer wakes up, it gets no erased text, and the receipt says when it has passed the erasure.
    let mut given = tried.durable("CHAT_0", "slow").await.messages().await.expect("events");
    let mut text = String::new();
    while !text.contains("this one stays") {
        let event = next_of(&mut given).await;
        text = String::from_utf8_lossy(&event.payload).into_owned();
        assert!(!text.contains(MARKER), "{text}");
        event.ack().await.expect("acknowledged");
    }
    eventually("the receipt says so", || async { has_passed(&receipt(&program, &id).await) }).await;
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

/// Whether a receipt says that the consumer `slow` has passed the erasure.
fn has_passed(receipt: &Value) -> bool {
    let mut consumers = receipt["consumers"].as_array().expect("consumers").iter();
    consumers.find(|one| one["name"] == "slow").expect("the consumer")["ack_floor_past"] == true
}

/// The names of the copies that a receipt waits for. `slow` is a consumer.
pub fn names(receipt: &Value) -> Vec<&str> {
    let consumers = receipt["consumers"].as_array().expect("consumers").iter();
    consumers
        .filter(|one| one["name"] != "slow")
        .map(|one| {
            assert_eq!(one["ack_floor_past"], false, "{receipt}");
            one["name"].as_str().expect("a name")
        })
        .collect()
}

#[tokio::test]
async fn a_receipt_waits_for_each_mirror_that_may_have_something() {
    let world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let log = operator(&world).await;
    let sum = Source { name: "CHAT_0".into(), ..Source::default() };
    let sum = Config { name: "SUM".into(), sources: Some(vec![sum]), ..Config::default() };
    log.create_stream(sum).await.expect("a stream with sources");
    makes_mirror(&log, "KEEPS", Config { deny_delete: true, ..Config::default() }).await;
    let receipts = Source {
        name: "CHAT_0".into(),
        filter_subject: Some("chat.*.*.receipts".into()),
        ..Source::default()
    };
    makes_mirror(&log, "LATE", Config { mirror: Some(receipts), ..Config::default() }).await;

    // A setting that names a stream that is not a mirror is refused, by the eraser too.
    let refused = world.runs(&["eraser", "--mirrors", "SUM"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("SUM has sources"), "{refused:?}");
    let checked = world.runs(&["check", "--mirrors", "SUM,KEEPS,LATE,LOST"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for refusal in ["SUM has sources", "deny_delete is set on KEEPS", "there is no stream LOST"] {
        assert!(checked.stdout.contains(&format!("REFUSED  mirror: {refusal}")), "{refusal}: {checked:?}");
    }

    let position = says_the_marker(&ana, &lunch, 1).await;
    eventually("the mirror has it", || async { last(&log, "KEEPS").await >= position }).await;
    let mirrors = ["--mirrors", "KEEPS,LATE,LOST"];
    let mut eraser = starts_eraser_with(&world, &mirrors);
    let id = asks(&program, &[(&lunch, position)]).await;
    eventually_long("the receipt names them", async || {
        names(&receipt(&program, &id).await) == ["KEEPS", "LATE", "LOST"]
    })
    .await;
    let waits = receipt(&program, &id).await;
    assert!(waits["state"] == "verifying" && waits["log_done_at"].is_string(), "{waits}");
    let verified = world.runs(&[&["erasures", "verify", &id], &mirrors[..]].concat()).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    for refusal in ["KEEPS: deny_delete", "LATE: the mirror is behind", "LOST: there is no stream LOST"] {
        assert!(verified.stdout.contains(&format!("REFUSED  {refusal}")), "{refusal}: {verified:?}");
    }

    // One mirror is recreated, another one is created for the first time, and the third gets the events after the
    // erased position.
    log.delete_stream("KEEPS").await.expect("it is there");
    makes_mirror(&log, "KEEPS", Config::default()).await;
    makes_mirror(&log, "LOST", Config::default()).await;
    eventually_long("it waits for the late one", async || names(&receipt(&program, &id).await) == ["LATE"])
        .await;
    let later = ana.says(&lunch, "another one").await["position"].as_u64().expect("a position");
    ben.put(&format!("/v1/conversations/{}/receipt", lunch.id), json!({ "read": later })).await.reached();
    is_done(&program, &id).await;
    // A stream with sources keeps erased content.
    assert_eq!(streams_with_marker(&world), ["SUM"]);
    assert!(world.runs(&["check", mirrors[0], mirrors[1]]).await.stdout.contains("WARNING  mirrors: SUM"));
    eraser.kill().await.expect("it runs");
    world.finish().await;
}
