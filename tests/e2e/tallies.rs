//! A service that was written from the documentation follows the log across kills of itself and of nats-server.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::process::{Child, Command};
use verbatim::{
    dev::NatsUser,
    domain::{ClientId, ContentErased, ErasedEntry, Event, Position},
    log::Draft,
};

use crate::{
    consuming::{Tried, added, python},
    erasing::{asks, is_done, starts_eraser},
    world::{Conversation, Person, Program, World, a_message, drafted, eventually, key},
};

/// Runs the service.
async fn starts(world: &World, creds: &Path) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tally.py");
    let mut command = Command::new(python().await);
    command.arg(script).arg("tally").arg(creds).args([world.nats.url(), "tally.db"]);
    command.current_dir(world.dir()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdout(Stdio::null()).kill_on_drop(true).spawn().expect("python runs")
}

/// The result of a query of the service's database.
async fn has(world: &World, query: &str) -> Value {
    let script = "import json, sqlite3, sys; print(json.dumps(sqlite3.connect('tally.db', timeout=30).execute(sys.argv[1]).fetchall()))";
    let mut command = Command::new(python().await);
    let ended =
        command.args(["-c", script, query]).current_dir(world.dir()).output().await.expect("python runs");
    // At the beginning there is no table.
    serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null)
}

/// Every stream of the log with the number of its events and the bytes of their data, according to nats-server.
async fn log_of(world: &World) -> Value {
    let operator = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let operator = async_nats::jetstream::new(operator);
    let mut all = Vec::new();
    for number in 0..world.streams {
        let name = format!("CHAT_{number}");
        let stream = operator.get_stream(&name).await.expect("the stream");
        let head = stream.cached_info().state.last_sequence;
        let mut bytes = 0;
        for position in 1..=head {
            bytes += stream.get_raw_message(position).await.expect("an event").payload.len();
        }
        if head > 0 {
            all.push(serde_json::json!([name, head, bytes]));
        }
    }
    Value::Array(all)
}

/// Stores an event like a node. Returns its stream and its position.
async fn stored(world: &World, draft: &Draft) -> (String, u64) {
    let node = async_nats::jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let sent = node.publish_with_headers(draft.subject(), draft.headers(None), draft.payload()).await;
    let stored = sent.expect("published").await.expect("stored");
    (stored.stream, stored.sequence)
}

/// Stores a message like a node that has not yet noticed that its sender was removed.
async fn too_late(world: &World, to: &Conversation, by: &Person) {
    stored(world, &drafted(to, by, a_message(&key(), "too late"))).await;
}

/// Sends a message that is erased immediately: the log lists it as erased and no longer has it.
async fn says_and_erases(world: &World, to: &Conversation, by: &Person) {
    let key = key();
    let draft =
        Draft { key: ClientId::try_from(key.clone()).ok(), ..drafted(to, by, a_message(&key, "soon gone")) };
    let (stream, position) = stored(world, &draft).await;
    let Event::MessageSent(sent) = &draft.event else { unreachable!("it is a message") };
    let hash = draft.headers(None).get("Nats-Msg-Id").map(ToString::to_string);
    let entry = ErasedEntry {
        position: Position(position),
        id: draft.id,
        kind: "message.sent".to_owned(),
        lane: "timeline".to_owned(),
        actor: draft.actor,
        time: draft.time,
        message_id: Some(sent.message_id),
        message_position: None,
        client_hash: hash,
        counts: true,
        data: None,
    };
    let (request_id, reason) = (draft.id.uuid(), "request".to_owned());
    let erased = ContentErased { request_id, reason, erased: vec![entry] };
    stored(world, &drafted(to, by, Event::ContentErased(erased))).await;
    let operator = world.nats.connect(NatsUser::Operator).await.expect("NATS");
    let stream = async_nats::jetstream::new(operator).get_stream(stream).await.expect("the stream");
    assert!(stream.delete_message(position).await.expect("the operator may"));
}

/// Sends a message, with retries until it succeeds.
async fn says(by: &Person, to: &Conversation, text: &str) {
    let client_id = key();
    eventually("it is said", || async { by.sends(to, &client_id, text).await.status == 201 }).await;
}

#[tokio::test]
async fn a_service_from_the_documents_alone_has_no_gap_and_no_double_effect() {
    let mut world = World::in_operator_mode(2).await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let groups = [ana.starts_group("One", &[&ben]).await, ana.starts_group("Two", &[&ben]).await];
    let creds = added(&world, "tally", &["--from", "start"]).await;
    for n in 0..20 {
        says(&ana, &groups[n % 2], "early").await;
    }
    // The service is installed before this, so that it starts within the four seconds.
    python().await;
    let lost = Tried::with(world.nats.url(), &creds, "tally").await;
    lost.loses_the_first(&["CHAT_0", "CHAT_1"], "tally").await;

    let mut service = starts(&world, &creds).await;
    for round in 0..6 {
        let talk = async {
            for n in 0..10 {
                says(&ana, &groups[n % 2], "said by ana").await;
                says(&ben, &groups[n % 2], "said by ben").await;
            }
        };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if round % 3 == 1 {
                world.nats.kill9();
                tokio::time::sleep(Duration::from_millis(300)).await;
                world.nats.start_again().await.expect("nats-server starts again");
            } else {
                service.kill().await.expect("kill");
                service = starts(&world, &creds).await;
            }
        };
        tokio::join!(talk, kill);
        eventually("the node is ready", || async { world.nodes[0].readiness().await.0 == 200 }).await;
        ana.removes(&groups[0], &ben).await.expect(204);
        too_late(&world, &groups[0], &ben).await;
        ana.invites(&groups[0], &ben).await.expect(201);
    }
    let mut ends = Vec::new();
    for group in &groups {
        ends.push(ana.says(group, "the end").await["position"].as_u64().expect("a position"));
    }
    let log = log_of(&world).await;
    let total = "select stream, events, bytes from total order by stream";
    eventually("the service has all events, and each once", || async { has(&world, total).await == log })
        .await;
    assert!(has(&world, "select missing from holes where missing > 0").await == serde_json::json!([]));

    let mut told = std::collections::BTreeMap::<String, u64>::new();
    for (group, end) in groups.iter().zip(ends) {
        let path = format!("/v1/conversations/{}/messages?limit=200&min_position={end}", group.id);
        let page = ana.get(&path).await.expect(200);
        assert_eq!(page["next_cursor"], Value::Null, "the page has all: {page}");
        for message in page["items"].as_array().expect("items") {
            *told.entry(message["sender"].as_str().expect("a sender").to_owned()).or_default() += 1;
        }
    }
    let told: Vec<_> =
        told.into_iter().map(|(sender, messages)| serde_json::json!([sender, messages])).collect();
    let tally = has(&world, "select sender, messages from tally order by sender").await;
    assert_eq!(tally, Value::Array(told), "only what counts is counted");
    let all = has(&world, "select count(*) from sent").await;
    let counted = has(&world, "select count(*) from counted").await;
    assert_eq!(all[0][0].as_u64(), counted[0][0].as_u64().map(|counted| counted + 6), "six came too late");

    service.kill().await.expect("kill");
    // The event with the first members of this group is gone before the service reads it.
    let late = ana.starts_group("Three", &[&ben]).await;
    says(&ben, &late, "heard later").await;
    let mut eraser = starts_eraser(&world);
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let title = asks(&program, &[(&late, late.position)]).await;
    is_done(&program, &title).await;
    eraser.kill().await.expect("it runs");
    says_and_erases(&world, &groups[0], &ana).await;
    let mut service = starts(&world, &creds).await;
    eventually("the service reads of the erasures", || async {
        has(&world, "select count(*) from erased").await == serde_json::json!([[2]])
    })
    .await;
    assert!(has(&world, "select missing from holes where missing > 0").await == serde_json::json!([]));
    assert_eq!(
        has(&world, "select count(*) from counted").await[0][0].as_u64(),
        counted[0][0].as_u64().map(|n| n + 2),
        "one from each of the two"
    );
    service.kill().await.expect("kill");
    world.finish().await;
}
