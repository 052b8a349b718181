//! An event was deleted from the log by hand. Every read across the hole is refused, loudly.

use std::ops::RangeInclusive;

use async_nats::jetstream;
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::world::{Answer, Conversation, Person, World, eventually};

/// The log lines of nodes about the hole.
const MEANT: [&str; 3] = [
    "refused a read: the log is damaged; see deploy/DISASTERS.md",
    "the hub has stopped: the log is damaged",
    "the projection has stopped",
];

async fn deletes_by_hand(world: &World, position: u64) {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream("CHAT_0").await.expect("stream");
    assert!(stream.delete_message(position).await.expect("the operator may"));
}

/// Sends nine messages, waits until the views have all of them, and returns their positions.
async fn talk(ana: &Person, lunch: &Conversation) -> Vec<u64> {
    let mut positions = Vec::new();
    for n in 1..=9 {
        let sent = ana.sends(lunch, &format!("the-key-of-{n}"), &format!("message {n}")).await.expect(201);
        positions.push(sent["position"].as_u64().expect("position"));
    }
    assert_eq!(ana.history(lunch, positions[8]).await.len(), 9);
    positions
}

async fn is_told_of(world: &World, position: u64) {
    let trouble = format!("log_damaged: CHAT_0 has no event at {position}");
    eventually(&trouble, || async {
        let (status, body) = world.nodes[0].readiness().await;
        status == 503 && body["trouble"].as_str().is_some_and(|told| told.contains(&trouble))
    })
    .await;
    world.nodes[0].fires("VerbatimLogDamaged").await;
    let checked = world.runs(&["check"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let refused = format!("REFUSED  holes: CHAT_0 has no event at {position}");
    assert!(checked.stdout.contains(&refused), "{checked:?}");
    let status = world.runs(&["status"]).await;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.stdout.contains(&format!("REFUSED  CHAT_0 has no event at {position}")), "{status:?}");
}

fn texts(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["text"].as_str().or(item["data"]["text"].as_str())).collect()
}

async fn as_of(who: &Person, of: &Conversation, position: u64) -> Answer {
    who.get(&format!("/v1/conversations/{}/messages?as_of={position}", of.id)).await
}

#[tokio::test]
async fn whoever_reads_over_a_hole_is_refused_after_a_restart_too() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let cursor = ben.connects().await.cursor();
    let positions = talk(&ana, &lunch).await;
    world.nodes[0].stop().await;
    world.nodes.clear();
    deletes_by_hand(&world, positions[4]).await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    is_told_of(&world, positions[4]).await;

    // Events before the hole can be read.
    let page = ben.get(&format!("/v1/events?after={cursor}&limit=200")).await.expect(200);
    assert_eq!(texts(&page), ["message 1", "message 2", "message 3", "message 4"]);
    let next = page["next_cursor"].as_str().expect("cursor");
    ben.get(&format!("/v1/events?after={next}&limit=200")).await.refuses_cursor("log_incomplete");
    for cursor in [&cursor, next] {
        let mut device = ben.resumes(cursor).await;
        assert_eq!(device.gets("reset").await["reason"], "log_incomplete");
        assert!(device.chain(&lunch).iter().all(|(position, _)| *position < positions[4]));
        assert!(device.seen.iter().all(|frame| frame["op"] != "caught_up"));
    }
    // The members are unknown too, because the missing event may have changed them.
    ana.sends(&lunch, "another-key", "is it whole?").await.refuses(503, "unavailable");
    as_of(&ben, &lunch, positions[8]).await.refuses(503, "unavailable");

    // A conversation that begins after the hole lacks nothing.
    let dinner = ana.starts_group("Dinner", &[&ben]).await;
    let last = ana.says(&dinner, "all is here").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&dinner, last).await, ["all is here"]);
    assert_eq!(texts(&as_of(&ben, &dinner, last).await.expect(200)), ["all is here"]);
    assert!(world.nodes[0].metric("verbatim_refused_reads_total ").await > 0);
    assert!(world.nodes[0].errors().iter().any(|line| line["message"] == MEANT[0]));
    world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn a_node_that_has_read_it_before_tells_of_a_hole_and_reads_over_it_no_more() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let positions = talk(&ana, &lunch).await;
    let mut device = ben.connects().await;
    world.the_log_forgets_keys().await;
    deletes_by_hand(&world, positions[4]).await;
    is_told_of(&world, positions[4]).await;
    let verified = world.runs(&["verify"]).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.stderr.contains("cannot be read beyond"), "{verified:?}");
    let left = "select exists (select from pg_namespace where nspname = 'view_rebuild')";
    assert!(!world.database.finds::<bool>(left).await, "the second set of views is left behind");

    let before = as_of(&ben, &lunch, positions[3]).await.expect(200);
    assert_eq!(texts(&before).len(), 4);
    for over in [positions[4], positions[8]] {
        as_of(&ben, &lunch, over).await.refuses(503, "unavailable");
    }
    ana.sends(&lunch, "the-key-of-5", "message 5").await.refuses(503, "unavailable");
    let again = ana.sends(&lunch, "the-key-of-4", "message 4").await.expect(201);
    assert_eq!(again["position"], positions[3]);
    // Clients that received the event before have everything, and continue.
    ana.says(&lunch, "still here").await;
    device.sees("still here").await;
    world.finish_with_errors(&MEANT).await;
}

/// So many erased positions that the leader takes megabytes to list them.
const MANY: u64 = 200_001;
/// The lane of their events.
const LANE: &str = "receipts";

/// Fills a conversation with as many events, and lets the stream drop them. Returns their positions.
async fn many_are_gone(world: &World, of: &Conversation) -> RangeInclusive<u64> {
    let client = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let log = jetstream::new(client.clone());
    let state = async || log.get_stream("CHAT_0").await.expect("the stream").cached_info().clone();
    let before = state().await;
    let subject = subject_of(of, LANE);
    for n in 1..=MANY {
        // JetStream drops what it cannot buffer.
        match n % 5_000 == 0 || n == MANY {
            true => drop(log.publish(subject.clone(), "".into()).await.expect("sent").await.expect("stored")),
            false => client.publish(subject.clone(), "".into()).await.expect("sent"),
        }
    }
    let last = before.state.last_sequence + MANY;
    let keeps_one = jetstream::stream::Config { max_messages_per_subject: 1, ..before.config.clone() };
    log.update_stream(keeps_one).await.expect("updated");
    eventually("they are gone", || async { state().await.state.deleted_count == Some(MANY - 1) }).await;
    log.update_stream(before.config).await.expect("updated");
    assert!(log.get_stream("CHAT_0").await.expect("the stream").delete_message(last).await.expect("allowed"));
    before.state.last_sequence + 1..=last
}

fn subject_of(of: &Conversation, lane: &str) -> String {
    format!("chat.{}.{}.{lane}", &of.id[of.id.len() - 2..], of.id)
}

/// Appends events that list erased positions, like a node.
async fn lists_as_erased(world: &World, by: &Person, of: &Conversation, positions: RangeInclusive<u64>) {
    let log = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let positions: Vec<u64> = positions.collect();
    for some in positions.chunks(200) {
        let id = |at: u64| uuid::Uuid::from_u128(0x0193_0f3c_5a7b_7c3d_8e4f_0000_0000_0000 + u128::from(at));
        let time = "2026-01-02T03:04:05.678Z";
        let entry = |at: &u64| {
            json!({ "position": at, "id": id(*at), "type": "spare.thing", "lane": LANE, "actor": by.id,
                    "time": time, "counts": false })
        };
        let data = json!({ "request_id": id(0), "reason": "request",
                           "erased": some.iter().map(entry).collect::<Vec<_>>() });
        let mut headers = async_nats::HeaderMap::new();
        let id = id(some[0] + (1 << 32)).to_string();
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &id),
            ("ce-type", "verbatim.content.erased.v1"),
            ("ce-source", &format!("/conversations/{}", of.id)),
            ("ce-time", time),
            ("ce-actor", &by.id),
        ] {
            headers.insert(name, value);
        }
        let data = data.to_string().into();
        let stored = log.publish_with_headers(subject_of(of, "control"), headers, data).await.expect("sent");
        stored.await.expect("stored");
    }
}

#[tokio::test]
async fn more_erased_positions_than_a_server_lists_at_a_glance_are_no_hole() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    // Lunch is erased, and dinner lies on both sides of it.
    let (lunch, dinner) = (ana.starts_group("Lunch", &[]).await, ana.starts_group("Dinner", &[]).await);
    world.nodes[0].stop().await;
    world.nodes.clear();
    let gone = many_are_gone(&world, &lunch).await;
    lists_as_erased(&world, &ana, &lunch, gone.clone()).await;

    world.add_node("api,gateway,projector").await;
    let node = &world.nodes[0];
    eventually("the node is ready", || async { node.readiness().await.0 == 200 }).await;
    let ana = ana.at(node.address);
    // A process needs some seconds to learn so many.
    let says = async || ana.sends(&dinner, "the-key-of-1", "all is here").await;
    eventually("a message is accepted", || async { says().await.status == 201 }).await;
    let last = says().await.expect(201)["position"].as_u64().expect("position");
    assert_eq!(texts(&as_of(&ana, &dinner, last).await.expect(200)), ["all is here"]);

    // One more erased position explains itself, and a hole beside it is still seen.
    let more = ana.says(&lunch, "to be erased").await["position"].as_u64().expect("position");
    let hole = ana.says(&lunch, "to be lost").await["position"].as_u64().expect("position");
    lists_as_erased(&world, &ana, &lunch, more..=more).await;
    deletes_by_hand(&world, more).await;
    assert_eq!(texts(&as_of(&ana, &dinner, last).await.expect(200)), ["all is here"]);
    deletes_by_hand(&world, hole).await;
    is_told_of(&world, hole).await;
    world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn an_event_that_is_missing_at_the_end_is_not_waited_for_in_silence() {
    let mut world = World::empty(1).await;
    world.add_node("api,gateway").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let last = ana.says(&lunch, "gone").await["position"].as_u64().expect("position");
    world.nodes[0].stop().await;
    world.nodes.clear();
    deletes_by_hand(&world, last).await;
    world.add_node("api,gateway,projector").await;
    is_told_of(&world, last).await;
    let node = &world.nodes[0];
    eventually("the projection has stopped", || async {
        node.errors().iter().any(|line| line["message"] == MEANT[2])
    })
    .await;
    ana.at(node.address).get("/v1/me").await.expect(200);
    world.finish_with_errors(&MEANT).await;
}
