//! Erasures from the request to the receipt: requested over REST, hidden by a node, and deleted by the eraser.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{self, stream::Config},
};
use serde_json::{Value, json};
use tokio::process::Child;
use verbatim::dev::NatsUser;

use crate::{
    erased_copies::makes_mirror,
    erased_titles::renames,
    world::{
        Backbone, Conversation, Person, Program, World, assert_linked, eventually, eventually_within,
        position, signal, stays,
    },
};

pub const MARKER: &str = "zebra-4711-crossing";

/// The eraser, with its own NATS user.
pub fn starts_eraser<B: Backbone>(world: &World<B>) -> Child {
    starts_eraser_with(world, &[])
}

/// The same, with additional arguments.
pub fn starts_eraser_with<B: Backbone>(world: &World<B>, arguments: &[&str]) -> Child {
    let url = world.nats.url_of(NatsUser::Eraser);
    let file = world.nats.folder().join("eraser.creds");
    let user = match file.exists() {
        true => ["--nats-eraser-credentials-file", file.to_str().expect("UTF-8")],
        false => ["--nats-eraser-url", &url],
    };
    world.starts(&[&["eraser"], &user[..], arguments].concat())
}

/// Nodes may not delete, and the eraser may neither write, nor delete anything but messages.
async fn only_the_eraser_deletes(world: &World, of: &Conversation, position: u64) {
    let may = async |user: NatsUser, subject: &str, body: String| {
        let client = world.nats.connect(user).await.expect("NATS");
        let asked = client.request(subject.to_owned(), body.into());
        tokio::time::timeout(Duration::from_millis(700), asked).await.is_ok_and(|answer| answer.is_ok())
    };
    let message = json!({ "seq": position }).to_string();
    assert!(!may(NatsUser::Verbatim, "$JS.API.STREAM.MSG.DELETE.CHAT_0", message.clone()).await);
    assert!(!may(NatsUser::Eraser, "$JS.API.STREAM.MSG.DELETE.AUDIT", message.clone()).await);
    assert!(!may(NatsUser::Eraser, "$JS.API.STREAM.PURGE.CHAT_0", "{}".into()).await);
    assert!(!may(NatsUser::Eraser, &format!("chat.00.{}.timeline", of.id), "{}".into()).await);
    assert!(may(NatsUser::Eraser, "$JS.API.STREAM.MSG.GET.CHAT_0", message).await);
}

/// The files below a folder that contain the marker.
pub fn with_marker(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(with_marker(&path));
        // A file may disappear before it is read.
        } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(MARKER)) {
            found.push(path);
        }
    }
    found
}

/// The files of the story's database, written out.
pub async fn files_of_database(world: &World) -> PathBuf {
    let pool = sqlx::PgPool::connect(&world.database.url).await.expect("Postgres");
    sqlx::query("checkpoint").execute(&pool).await.expect("a superuser");
    let (data, oid): (String, i64) = sqlx::query_as(
        "select current_setting('data_directory'), oid::bigint from pg_database where datname = current_database()",
    )
    .fetch_one(&pool)
    .await
    .expect("its folder");
    Path::new(&data).join("base").join(oid.to_string())
}

/// Sends a message, edits every third one, and deletes every sixth one. Returns its position.
pub async fn says_the_marker(who: &Person, to: &Conversation, n: usize) -> u64 {
    let sent = who.sends(to, &format!("the-key-of-{n}"), &format!("{MARKER} {n}")).await.expect(201);
    let path = format!("/v1/conversations/{}/messages/{}", to.id, sent["id"].as_str().expect("id"));
    if n.is_multiple_of(3) {
        who.patch(&path, json!({ "text": format!("{MARKER} again") })).await.expect(200);
    }
    if n.is_multiple_of(6) {
        who.delete(&path).await.reached();
    }
    position(&sent)
}

pub async fn asks(program: &Program, of: &[(&Conversation, u64)]) -> String {
    let place =
        |(of, position): &(&Conversation, u64)| json!({ "conversation_id": of.id, "position": position });
    let messages: Vec<Value> = of.iter().map(place).collect();
    let body = json!({ "messages": messages, "reason_code": "request" });
    let asked = program.person.post("/v1/admin/erasures", body).await.expect(202);
    let named = |what: &str| asked["counts"][what].as_u64().unwrap_or_default();
    assert_eq!(named("messages") + named("titles"), of.len() as u64, "{asked}");
    asked["id"].as_str().expect("id").to_owned()
}

pub async fn receipt(program: &Program, id: &str) -> Value {
    program.person.get(&format!("/v1/admin/erasures/{id}")).await.expect(200)
}

pub async fn is_done(program: &Program, id: &str) -> Value {
    eventually_long("the erasure is done", async || receipt(program, id).await["state"] == "done").await;
    receipt(program, id).await
}

#[tokio::test]
async fn an_erased_text_is_in_no_store_any_more() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let program = operator.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, dinner) =
        (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Dinner", &[&ben]).await);
    let cursor = ben.connects().await.cursor();
    let mut erased = Vec::new();
    for n in 0..24 {
        let to = if n % 2 == 0 { &lunch } else { &dinner };
        erased.push((to, says_the_marker(&ana, to, n).await));
        ben.says(to, "and so on").await;
    }
    let dessert = ana.starts_group(&format!("{MARKER} dessert"), &[&ben]).await;
    let renamed = [renames(&ana, &dessert, MARKER).await, renames(&ana, &lunch, MARKER).await];
    erased.extend([(&dessert, dessert.position), (&dessert, renamed[0]), (&lunch, renamed[1])]);
    assert!(
        !with_marker(world.nats.folder()).is_empty()
            && !with_marker(&files_of_database(&world).await).is_empty()
    );

    let id = asks(&program, &erased).await;
    // Operators see that the erasure waits for an eraser.
    let waits = async || {
        let told = world.nodes[0].metrics().await;
        let value = told.lines().find_map(|line| line.strip_prefix("verbatim_erasure_waiting_seconds "));
        value.expect("the metric").parse::<f64>().expect("a number")
    };
    eventually_long("the erasure is seen to wait", async || waits().await > 1.0).await;
    let status = world.runs(&["status"]).await;
    assert!(status.stdout.contains("erasures  the oldest due one has waited for "), "{status:?}");
    let mut eraser = starts_eraser(&world);
    let receipt = is_done(&program, &id).await;
    eventually_long("no erasure waits", async || waits().await == 0.0).await;
    // A reload ends neither a node nor an eraser, although they have nothing to reload.
    for pid in [world.nodes[0].pid(), eraser.id().expect("it runs")] {
        signal(pid, "HUP").await;
    }
    let counts = json!({ "messages": 24, "edits": 8, "titles": 3, "attachments": 0, "rows": 0 });
    assert_eq!(receipt["counts"], counts);
    for time in ["hidden_at", "views_done_at", "log_done_at", "wal_compacted_at", "done_at"] {
        assert!(receipt[time].is_string(), "{time}: {receipt}");
    }
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    assert_eq!(with_marker(&files_of_database(&world).await), [] as [PathBuf; 0]);

    let mut device = ben.resumes(&cursor).await;
    device.catches_up().await;
    for conversation in [&lunch, &dinner] {
        assert_linked(&device.chain(conversation));
    }
    assert!(device.seen.iter().all(|frame| !frame.to_string().contains(MARKER)));
    assert_eq!(device.seen.iter().filter(|frame| frame["data"]["erased"] == true).count(), 24 + 8);
    ana.sends(&lunch, "the-key-of-0", &format!("{MARKER} 0")).await.refuses(410, "erased");

    // A repeated request is accepted, and there is nothing to do.
    let again = asks(&program, &erased[..2]).await;
    is_done(&program, &again).await;
    for command in
        [&["check"][..], &["erasures", "list"], &["erasures", "show", &id], &["erasures", "verify", &id]]
    {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
    }
    let said = world.runs(&["erasures", "show", &id]).await;
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(said, self::receipt(&program, &id).await, "the servers say the same as a node");
    let trail = world.runs(&["audit", "tail"]).await.stdout;
    for word in ["erasure.asked", "erasure.positions", "erasure.done"] {
        assert!(trail.contains(word), "{word}: {trail}");
    }
    assert_eq!(eraser.try_wait().expect("its state"), None);
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn an_eraser_that_is_killed_is_followed_by_another_one() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let mut erased = Vec::new();
    for n in 0..20 {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
    }
    only_the_eraser_deletes(&world, &lunch, erased[0].1).await;
    let log = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let gone = async || {
        let mut stream = log.get_stream("CHAT_0").await.expect("the stream");
        stream.info().await.expect("its state").state.deleted_count.unwrap_or_default()
    };
    let id = asks(&program, &erased).await;
    let mut eraser = starts_eraser(&world);
    eventually("something is erased", async || gone().await >= 5).await;
    eraser.kill().await.expect("it runs");
    assert!(gone().await < 27, "the eraser was faster than its rate");
    assert_ne!(receipt(&program, &id).await["state"], "done");
    let left = world.runs(&["erasures", "verify", &id]).await;
    assert!(left.code == Some(1) && left.stdout.contains("still has messages"), "{left:?}");

    let mut other = starts_eraser(&world);
    let receipt = is_done(&program, &id).await;
    assert_eq!(receipt["counts"], json!({ "messages": 20, "edits": 7, "attachments": 0, "rows": 0 }));
    assert_eq!(gone().await, 27);
    assert_eq!(world.runs(&["check"]).await.code, Some(0));
    other.kill().await.expect("it runs");
    world.finish().await;
}

/// Stores a copy of an event for a consumer, as for one that was parked.
async fn is_given_again(log: &jetstream::Context, position: u64) {
    let stream = log.get_stream("CHAT_0").await.expect("the stream");
    let event = stream.get_raw_message(position).await.expect("an event");
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", event.headers.get("ce-id").expect("an id").clone());
    headers.insert("verbatim-stream", "CHAT_0");
    headers.insert("verbatim-position", position.to_string());
    let stored = log.publish_with_headers("replay.nobody", headers, event.payload).await.expect("NATS");
    stored.await.expect("stored");
}

/// The Raft log of a server has an erased message until the server compacts it, within three minutes. Copies have Raft
/// logs of their own.
#[tokio::test]
async fn a_replica_that_was_away_comes_back_clean() {
    let mut world = World::with_cluster(1).await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let log = jetstream::new(world.nats.client(NatsUser::Operator).await);
    makes_mirror(&log, "CHAT_0_COPY", Config { num_replicas: 3, ..Config::default() }).await;
    let mut erased = Vec::new();
    for n in 0..6 {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
    }
    is_given_again(&log, erased[0].1).await;
    world.nats.settled().await.expect("all have all");
    let away = world.nats.leader_of("CHAT_0").await.map_or(0, |leader| (leader + 1) % 3);
    world.nats.nats(away).kill9();
    let mirrors = ["--mirrors", "CHAT_0_COPY"];
    let mut eraser = starts_eraser_with(&world, &mirrors);
    let id = asks(&program, &erased).await;
    eventually_long("the others have erased it", async || {
        receipt(&program, &id).await["log_done_at"].is_string()
    })
    .await;
    let is_waiting = async || receipt(&program, &id).await["state"] == "verifying";
    stays("it waits for the replica that is offline", Duration::from_secs(2), is_waiting).await;
    let verified = world.runs(&["erasures", "verify", &id]).await;
    assert!(verified.code == Some(1) && verified.stdout.contains("a replica is offline"), "{verified:?}");

    world.nats.nats(away).start_again().await.expect("it starts again");
    let receipt = is_done(&program, &id).await;
    assert!(receipt["wal_compacted_at"].is_string(), "{receipt}");
    for server in 0..3 {
        // The blocks of the streams, and the Raft logs.
        assert_eq!(with_marker(world.nats.nats(server).folder()), [] as [PathBuf; 0], "server {server}");
    }
    assert_eq!(world.runs(&[&["erasures", "verify", &id], &mirrors[..]].concat()).await.code, Some(0));
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

/// An erasure takes its time: it looks twice for edits, deletes at its rate, and waits for Raft logs.
pub async fn eventually_long(what: &str, is_so: impl AsyncFnMut() -> bool) {
    eventually_within(Duration::from_secs(300), what, is_so).await;
}

#[tokio::test]
async fn what_cannot_be_erased_is_refused_and_what_is_early_waits() {
    let world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    // This event of the roster has no title.
    let untitled =
        ana.patch(&format!("/v1/conversations/{}", lunch.id), json!({ "history": "since_join" })).await;
    let untitled = position(&untitled.expect(200));
    let position = says_the_marker(&ana, &lunch, 1).await;
    let person = &program.person;
    let ask = async |body: Value| person.post("/v1/admin/erasures", body).await;
    let place = |position: u64| json!([{ "conversation_id": lunch.id, "position": position }]);
    let refused = [
        (json!({ "messages": [], "reason_code": "request" }), "/messages"),
        (json!({ "messages": place(position), "reason_code": "dislike" }), "/reason_code"),
        (json!({ "messages": place(position), "reason_code": "request", "grace_s": 2_592_001 }), "/grace_s"),
        (json!({ "messages": place(untitled), "reason_code": "request" }), "/messages/0/position"),
        (json!({ "messages": place(position + 100), "reason_code": "request" }), "/messages/0/position"),
        // A request names messages or an account, and a scope that fits.
        (json!({ "user_id": ana.id, "messages": place(position), "reason_code": "request" }), "/messages"),
        (json!({ "reason_code": "request" }), "/messages"),
        (json!({ "user_id": ana.id, "scope": "content", "reason_code": "request" }), "/scope"),
        (json!({ "user_id": ana.id, "reason_code": "request" }), "/scope"),
        (json!({ "messages": place(position), "scope": "account", "reason_code": "request" }), "/scope"),
        (json!({ "user_id": program.person.id, "scope": "account", "reason_code": "request" }), "/user_id"),
        (json!({ "external_id": "nobody", "scope": "account", "reason_code": "request" }), "/external_id"),
    ];
    for (body, pointer) in refused {
        let refused = ask(body.clone()).await.refuses(400, "invalid_body");
        let pointers: Vec<_> =
            refused["errors"].as_array().expect("errors").iter().map(|one| &one["pointer"]).collect();
        assert!(pointers.contains(&&json!(pointer)), "{body}: {refused}");
    }
    let waits = ask(json!({ "messages": place(position), "reason_code": "moderation", "grace_s": 3600 }))
        .await
        .expect(202);
    assert_eq!(waits["state"], "waiting");
    let id = waits["id"].as_str().expect("an id");
    let is_waiting = async || receipt(&program, id).await["state"] == "waiting";
    stays("its hour is not over", Duration::from_secs(2), is_waiting).await;
    assert!(ana.history(&lunch, position).await.iter().any(|text| text.contains(MARKER)));

    only_the_eraser_deletes(&world, &lunch, position).await;
    world.finish().await;
}
