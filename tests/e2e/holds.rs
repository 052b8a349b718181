//! Legal holds: held content is hidden when it is erased, and stays in the log until the holds are lifted.

use std::{path::PathBuf, time::Duration};

use async_nats::jetstream;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use verbatim::dev::NatsUser;

use crate::{
    erasing::{MARKER, asks, eventually_long, is_done, receipt, says_the_marker, starts_eraser, with_marker},
    world::{Conversation, PASSWORD, Person, Program, World, assert_linked, eventually, position, stays},
};

pub const HOLDS: &str = "/v1/admin/holds";

/// A program that erases, and another one that places holds.
async fn opponents(world: &World) -> (Program, Program) {
    let operator = Program::bootstraps(world).await;
    (operator.makes("forgets", &["admin:erasure"]).await, operator.makes("counsel", &["admin:holds"]).await)
}

pub async fn places(counsel: &Program, hold: Value) -> String {
    let placed = counsel.person.post(HOLDS, hold).await.expect(201);
    assert_eq!(placed["placed_by"], json!(counsel.person.id), "{placed}");
    placed["id"].as_str().expect("an id").to_owned()
}

pub async fn lifts(counsel: &Program, id: &str) {
    counsel.person.delete(&format!("{HOLDS}/{id}")).await.expect(204);
}

/// The texts of messages in the log: `None` for an empty position.
async fn texts(world: &World, positions: &[u64]) -> Vec<Option<String>> {
    let log = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = log.get_stream("CHAT_0").await.expect("the stream");
    let mut texts = Vec::new();
    for position in positions {
        let message = stream.get_raw_message(*position).await.ok();
        texts.push(message.map(|message| String::from_utf8_lossy(&message.payload).into_owned()));
    }
    texts
}

pub async fn is_held_by(program: &Program, id: &str, holds: &[&str]) -> Value {
    eventually_long("the erasure is held", async || receipt(program, id).await["state"] == "held").await;
    let receipt = receipt(program, id).await;
    assert_eq!(receipt["holds"], json!(holds), "{receipt}");
    assert!(receipt["hidden_at"].is_string() && receipt.get("log_done_at").is_none(), "{receipt}");
    receipt
}

/// Asserts that no answer of REST contains the marker.
async fn knows_nothing(who: &Person, of: &Conversation, message: &str, position: u64) {
    let path = format!("/v1/conversations/{}/messages", of.id);
    for path in [
        path.clone(),
        format!("{path}?as_of={position}"),
        format!("{path}/{message}"),
        format!("{path}/{message}/versions"),
        "/v1/messages?query=zebra".into(),
        "/v1/conversations".into(),
    ] {
        let (_, body) = who.sends_bytes(reqwest::Method::GET, &path, "").await;
        assert!(!body.contains("zebra") && !body.contains("hold"), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_held_message_is_hidden_and_stays_in_the_log_until_the_hold_is_lifted() {
    let world = World::start().await;
    let (program, counsel) = opponents(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let cursor = ben.connects().await.cursor();
    // The edit of the message is at the next position.
    let held = says_the_marker(&ana, &lunch, 3).await;
    let free = says_the_marker(&ben, &lunch, 1).await;
    let path = format!("/v1/conversations/{}/messages?min_position={free}", lunch.id);
    let page = ana.get(&path).await.expect(200);
    let message = page["items"][1]["id"].as_str().expect("an id").to_owned();
    let later = position(&ben.says(&lunch, "and so on").await);
    let name = "Zebra against Crossing";
    let hold = places(&counsel, json!({ "name": name, "users": [ana.id] })).await;
    for refused in [
        program.person.post(HOLDS, json!({ "name": name, "users": [ana.id] })).await,
        program.person.delete(&format!("{HOLDS}/{hold}")).await,
        ana.get(HOLDS).await,
    ] {
        refused.refuses(403, "missing_scope");
    }

    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, held), (&lunch, free)]).await;
    let shown = is_held_by(&program, &id, &[&hold]).await;
    assert_eq!((&shown["counts"]["messages"], &shown["counts"]["edits"]), (&json!(2), &json!(1)));
    let kept = texts(&world, &[held, held + 1, free]).await;
    assert!(kept[..2].iter().flatten().filter(|text| text.contains(MARKER)).count() == 2, "{kept:?}");
    assert_eq!(kept[2], None, "no hold names ben");
    for who in [&ana, &ben] {
        knows_nothing(who, &lunch, &message, free).await;
    }
    let mut device = ben.resumes(&cursor).await;
    device.catches_up().await;
    assert_linked(&device.chain(&lunch));
    let told = device.seen.iter().map(Value::to_string).collect::<String>();
    assert!(told.contains("content.erased") && !told.contains(&hold) && !told.contains(MARKER), "{told}");
    let verified = world.runs(&["erasures", "verify", &id]).await;
    assert!(verified.code == Some(0) && verified.stdout.contains("legal holds keep"), "{verified:?}");
    // A held message does not protect other messages of its conversation.
    let other = asks(&program, &[(&lunch, later)]).await;
    is_done(&program, &other).await;
    // Another hold still keeps it.
    let second = places(&counsel, json!({ "name": "b", "conversations": [lunch.id] })).await;
    lifts(&counsel, &hold).await;
    is_held_by(&program, &id, &[&second]).await;
    assert_eq!(texts(&world, &[held, held + 1]).await, kept[..2]);

    lifts(&counsel, &second).await;
    let receipt = is_done(&program, &id).await;
    assert_eq!(receipt["holds"], json!([]));
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    assert_eq!(world.runs(&["erasures", "verify", &id]).await.code, Some(0));
    let lifted = counsel.person.get(&format!("{HOLDS}/{hold}")).await.expect(200);
    assert_eq!((&lifted["name"], &lifted["lifted_by"]), (&json!(name), &json!(counsel.person.id)));
    lifts(&counsel, &hold).await;
    assert_eq!(counsel.person.get(&format!("{HOLDS}/{hold}")).await.expect(200), lifted);
    let listed = counsel.person.get(&format!("{HOLDS}?limit=1")).await.expect(200);
    assert!(listed["items"][0]["id"] == *second && listed["next_cursor"].is_string(), "{listed}");
    let trail = world.runs(&["audit", "tail"]).await.stdout;
    assert_eq!(["hold.placed", "hold.lifted"].map(|word| trail.matches(word).count()), [2, 2], "{trail}");
    assert!(!trail.contains("Zebra"), "{trail}");
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_deleted_any_more_when_a_hold_is_placed_in_the_midst_of_an_erasure() {
    let world = World::start().await;
    let (program, counsel) = opponents(&world).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let mut all = Vec::new();
    for n in 0..20 {
        all.push((&lunch, says_the_marker(&ana, &lunch, 6 * n + 1).await));
    }
    let positions: Vec<u64> = all.iter().map(|(_, position)| *position).collect();
    let there = async || texts(&world, &positions).await.iter().flatten().count();
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &all).await;
    eventually("the eraser has begun", || async { there().await < 18 }).await;
    let hold = places(&counsel, json!({ "name": "now", "conversations": [lunch.id] })).await;
    let kept = there().await;
    assert!(kept > 0, "the eraser was faster");
    let is_kept = async || there().await == kept;
    stays("no message is deleted behind the 201", Duration::from_secs(2), is_kept).await;
    is_held_by(&program, &id, &[&hold]).await;
    // A new eraser does not know what the one before has seen.
    eraser.kill().await.expect("it runs");
    let mut other = starts_eraser(&world);
    stays("a new eraser deletes nothing either", Duration::from_secs(3), is_kept).await;

    lifts(&counsel, &hold).await;
    is_done(&program, &id).await;
    assert_eq!(there().await, 0);
    other.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn a_held_account_is_nobody_to_others_and_kept_for_the_case() {
    let world = World::start().await;
    let (program, counsel) = opponents(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ben.starts_group("Lunch", &[&ana]).await;
    let said = says_the_marker(&ana, &lunch, 1).await;
    let hold =
        places(&counsel, json!({ "name": "a", "users": [ana.id], "to": "2020-01-01T00:00:00Z" })).await;
    let ask = json!({ "scope": "account_and_content", "confirm": PASSWORD });
    let asked = ana.post("/v1/me/erasure", ask).await.expect(202);
    assert!(asked["state"] == "waiting" && asked.get("holds").is_none(), "{asked}");
    world
        .database
        .does("update auth.erasure set held_by = array[gen_random_uuid()], hidden_at = now()")
        .await;
    assert_eq!(ana.get("/v1/me/erasure").await.expect(200)["state"], "waiting");
    world.database.does("update auth.erasure set held_by = '{}', hidden_at = null, starts_at = now()").await;

    let mut eraser = starts_eraser(&world);
    let id = asked["id"].as_str().expect("an id");
    eventually("ana is out", || async { ana.get("/v1/me").await.status == 403 }).await;
    is_held_by(&program, id, &[&hold]).await;
    assert_eq!(texts(&world, &[said]).await, [None], "the hold is of another time");
    let seen = ben.get(&format!("/v1/users/{}", ana.id)).await.expect(200);
    assert!(seen["username"].as_str().is_some_and(|name| name.starts_with("erased-")), "{seen}");
    let mut database = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let mut kept = async || {
        let kept: Option<(String,)> = sqlx::query_as(
            "select kept #>> '{account,username}' from auth.held_account where not kept #> '{account}' ? 'password_hash'",
        )
        .fetch_optional(&mut database)
        .await
        .expect("the table");
        kept.map(|(name,)| name)
    };
    assert_eq!(kept().await, Some(ana.name.clone()));

    lifts(&counsel, &hold).await;
    is_done(&program, id).await;
    assert_eq!(kept().await, None);
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn a_hold_that_would_keep_nothing_is_refused_and_an_operator_places_one_on_the_machine() {
    let world = World::start().await;
    let (_, counsel) = opponents(&world).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let nobody = "01930f3d-5d64-7fa5-8e83-92a3b4c5d6e7";
    let many: Vec<&str> = vec![&ana.id; 201];
    let refused = [
        (json!({ "name": "x" }), "/users"),
        (json!({ "name": "x", "users": [ana.id], "conversations": [lunch.id] }), "/users"),
        (json!({ "name": "x", "users": [] }), "/users"),
        (json!({ "name": "x", "conversations": [] }), "/conversations"),
        (json!({ "name": "x", "users": [nobody] }), "/users"),
        (json!({ "name": "x", "users": many }), "/users"),
        (json!({ "name": "x", "conversations": [lunch.id, nobody] }), "/conversations"),
        (json!({ "name": " ", "users": [ana.id] }), "/name"),
        (json!({ "name": "x".repeat(257), "users": [ana.id] }), "/name"),
        (
            json!({ "name": "x", "users": [ana.id], "from": "2026-11-24T13:10:00Z", "to": "2026-11-24T13:10:00Z" }),
            "/to",
        ),
    ];
    for (body, pointer) in refused {
        let refused = counsel.person.post(HOLDS, body.clone()).await.refuses(400, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}: {refused}");
    }
    counsel.person.get(&format!("{HOLDS}/{nobody}")).await.refuses(404, "not_found");
    counsel.person.delete(&format!("{HOLDS}/{nobody}")).await.refuses(404, "not_found");

    let missing = world.runs(&["holds", "place", "Case 17"]).await;
    assert!(missing.code == Some(2) && missing.stderr.contains("--conversation"), "{missing:?}");
    let placed = world.runs(&["holds", "place", "Case 17", "--conversation", &lunch.id]).await;
    assert_eq!(placed.code, Some(0), "{placed:?}");
    let placed: Value = serde_json::from_str(&placed.stdout).expect("JSON");
    assert_eq!(placed["conversations"], json!([lunch.id]));
    let lifted = world.runs(&["holds", "lift", placed["id"].as_str().expect("an id")]).await;
    assert!(lifted.code == Some(0) && lifted.stdout.contains("lifted_at"), "{lifted:?}");
    let listed = counsel.person.get(HOLDS).await.expect(200);
    assert_eq!(listed["items"][0]["name"], "Case 17");
    assert!(listed["items"][0].get("lifted_by").is_none(), "{listed}");
    let said = world.runs(&["holds", "list"]).await;
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(said["items"], listed["items"], "the servers say the same as a node");

    // An eraser was killed just before or after it requested a deletion, so the fate of the message is unknown.
    let asked =
        format!("insert into auth.deletion values (0, {}, now() - interval '1 minute')", lunch.position);
    world.database.does(&asked).await;
    let one = json!({ "name": "x", "users": [ana.id] });
    let refused = counsel.person.post(HOLDS, one.clone()).await.refuses(503, "unavailable");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("is placed")), "{refused}");
    assert_eq!(counsel.person.get(HOLDS).await.expect(200)["items"][0]["name"], "x");
    let mut eraser = starts_eraser(&world);
    eventually("another eraser has looked", || async {
        counsel.person.post(HOLDS, one.clone()).await.status == 201
    })
    .await;
    assert!(texts(&world, &[lunch.position]).await[0].is_some());
    eraser.kill().await.expect("it runs");

    world
        .database
        .does(
            "insert into auth.hold (id, name, users, conversations, placed_at)
             select gen_random_uuid(), 'x', array[gen_random_uuid()], '{}', now() from generate_series(1, 100)",
        )
        .await;
    counsel.person.post(HOLDS, one).await.refuses(409, "too_many_holds");
    world.finish().await;
}
