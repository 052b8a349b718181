//! Every change of an account makes one audit event, and a request without a change makes none.

use std::collections::HashSet;

use async_nats::jetstream::{
    self,
    stream::{Config, PersistenceMode},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use verbatim::dev::NatsUser;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::timeout,
};

use crate::world::{Backbone, PASSWORD, PATIENCE, Person, World, ask, eventually};

/// The events about one subject, once the outbox is empty.
pub async fn events_of<B: Backbone>(world: &World<B>, subject: &str) -> Vec<(String, Value)> {
    let all = trail(world).await;
    let about = all.into_iter().filter(|event| event["subject"] == subject);
    about.map(|event| (event["type"].as_str().expect("a type").to_owned(), event["data"].clone())).collect()
}

/// All audit events, as the command prints them. Asserts that each event occurs once.
async fn trail<B: Backbone>(world: &World<B>) -> Vec<Value> {
    nothing_waits(world).await;
    let ran = world.runs(&["audit", "tail", "--from", "0"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let ids: HashSet<&str> = all.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), all.len(), "each event is stored once");
    all
}

async fn waiting<B: Backbone>(world: &World<B>) -> i64 {
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    sqlx::query_scalar("select count(*) from auth.audit").fetch_one(&mut connection).await.expect("a row")
}

pub async fn nothing_waits<B: Backbone>(world: &World<B>) {
    eventually("the outbox is empty", async || waiting(world).await == 0).await;
}

#[tokio::test]
async fn each_change_of_an_account_is_one_event_and_no_change_is_none() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let mut expected = vec![("account.created".to_owned(), json!({ "origin": "registered" }))];
    assert_eq!(events_of(&world, &ana.id).await, expected);

    for name in ["Ana", "Ana", "Ana María", "Ana María"] {
        ana.send(Method::PATCH, "/v1/me", Some(json!({ "display_name": name }))).await.expect(200);
    }
    let renamed = ("account.updated".to_owned(), json!({ "changed": ["display_name"] }));
    expected.extend([renamed.clone(), renamed.clone()]);
    for _ in 0..2 {
        let both = json!({ "display_name": "Ana", "avatar_url": "https://example.com/ana.png" });
        ana.send(Method::PATCH, "/v1/me", Some(both)).await.expect(200);
    }
    expected.push(("account.updated".to_owned(), json!({ "changed": ["display_name", "avatar_url"] })));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    let phone = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let logins = ana.get("/v1/logins").await.expect(200)["items"].clone();
    let phones = logins[0]["id"].as_str().expect("the latest login is the first").to_owned();
    for _ in 0..2 {
        ana.send(Method::DELETE, &format!("/v1/logins/{phones}"), None).await.expect(204);
    }
    phone.get("/v1/me").await.refuses(401, "login_revoked");
    expected.push(("login.revoked".to_owned(), json!({ "logins": [phones], "by": "owner" })));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let change = |current: &str| json!({ "current_password": current, "new_password": "staple, but longer" });
    ana.put("/v1/me/password", change("not my password")).await.refuses(403, "wrong_password");
    ana.put("/v1/me/password", change(PASSWORD)).await.expect(204);
    let changed = json!({ "changed": ["password"], "logins_revoked": 1 });
    expected.push(("account.updated".to_owned(), changed));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    // The trail keeps every event for ever, so a user who changes the name in a loop makes only some events.
    for n in 0..60 {
        let name = json!({ "display_name": format!("Ana {n}") });
        ana.send(Method::PATCH, "/v1/me", Some(name)).await.expect(200);
    }
    expected.extend(std::iter::repeat_n(renamed, 50 - 3));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    // A taken name creates no account, so it makes no event either.
    let again = json!({ "username": ana.name, "password": PASSWORD });
    ask(ana.address, Method::POST, "/v1/accounts", Some(again)).await.refuses(409, "username_taken");
    assert_eq!(trail(&world).await.len(), expected.len());
    world.finish().await;
}

#[tokio::test]
async fn a_stolen_refresh_token_and_an_operators_revocation_are_events() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let refresh = |token: &str| {
        let body = json!({ "refresh_token": token });
        async move { ask(ana.address, Method::POST, "/v1/logins/refresh", Some(body)).await }
    };
    let first = ana.refresh_token.clone();
    refresh(&first).await.expect(200);
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    // The grace period is over.
    sqlx::query("update auth.spent_refresh set spent_at = spent_at - interval '1 minute'")
        .execute(&mut connection)
        .await
        .expect("updated");
    for _ in 0..2 {
        refresh(&first).await.refuses(401, "invalid_grant");
    }
    let told = events_of(&world, &ana.id).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&*told[1].0, &told[1].1["by"]), ("login.revoked", &json!("reuse")));

    for _ in 0..2 {
        Person::logs_in(ana.address, &ana.name, &ana.id).await;
    }
    for ended in [2, 0] {
        let ran = world.runs(&["logins", "revoke", "--since", "2126-01-01T00:00:00Z"]).await;
        assert!(
            ran.code == Some(0) && ran.stdout.starts_with(&format!("revoked {ended} logins ")),
            "{ran:?}"
        );
    }
    let told = events_of(&world, &ana.id).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((&*told[2].0, &told[2].1["by"]), ("login.revoked", &json!("operator")));
    assert_eq!(told[2].1["logins"].as_array().map(Vec::len), Some(2));
    world.finish().await;
}

/// Renames a person several times.
async fn renames(person: &Person, times: std::ops::Range<usize>) {
    for n in times {
        let name = json!({ "display_name": format!("Ana {n}") });
        person.send(Method::PATCH, "/v1/me", Some(name)).await.expect(200);
    }
}

#[tokio::test]
async fn an_audit_event_is_a_cloud_event_without_anything_typed() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    renames(&ana, 0..1).await;
    nothing_waits(&world).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream("AUDIT").await.expect("the stream");
    let config = &stream.cached_info().config;
    assert_eq!(config.subjects, ["audit.*.*"]);
    assert!(config.deny_delete && config.deny_purge && config.max_age.is_zero(), "{config:?}");
    assert_eq!(config.storage, jetstream::stream::StorageType::File);
    let message = stream.get_raw_message(2).await.expect("the second event");
    assert_eq!(message.subject.as_str(), format!("audit.account.{}", ana.id));
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-type", "verbatim.account.updated.v1"),
        ("ce-source", "/audit"),
        ("ce-datacontenttype", "application/json"),
        ("ce-actor", &ana.id),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(header("ce-id"), header("Nats-Msg-Id"));
    assert_eq!(header("ce-via"), None);
    let told = format!("{:?} {}", message.headers, String::from_utf8_lossy(&message.payload));
    for typed in ["Ana", &ana.name, "127.0.0.1"] {
        assert!(!told.contains(typed), "{typed} in {told}");
    }
    for taken in [
        stream.delete_message(1).await.map(drop).map_err(|e| e.to_string()),
        stream.purge().await.map(drop).map_err(|e| e.to_string()),
    ] {
        taken.expect_err("nobody takes an audit event away");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_trail_is_shown_from_a_position_and_a_time_by_area_and_id_and_followed() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    renames(&ana, 0..3).await;
    let all = trail(&world).await;
    assert_eq!(all.len(), 5);
    let tail = async |arguments: &[&str]| -> Vec<Value> {
        let ran = world.runs(&[&["audit", "tail"], arguments].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    assert_eq!(tail(&[]).await, all);
    assert_eq!(tail(&["--from", "4"]).await, all[3..]);
    assert_eq!(tail(&["--from", "2020-01-01T00:00:00Z"]).await, all);
    assert_eq!(tail(&["--from", "2126-01-01T00:00:00Z"]).await, Vec::<Value>::new());
    assert_eq!(tail(&["--area", "key"]).await, Vec::<Value>::new());
    let unknown = world.runs(&["audit", "tail", "--area", "nonsense"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("webhook"), "{unknown:?}");
    let of_ben = tail(&["--area", "account", "--id", &ben.id]).await;
    assert_eq!((of_ben.len(), &of_ben[0]["subject"]), (1, &json!(ben.id)));

    let mut following = world.starts(&["audit", "tail", "--from", "5", "--follow"]);
    let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
    let mut next = async || -> Value {
        let line =
            timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("read").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next().await, all[4]);
    renames(&ben, 3..4).await;
    assert_eq!(next().await["subject"], json!(ben.id));
    following.kill().await.expect("killed");
    world.finish().await;
}

#[tokio::test]
async fn an_event_is_stored_once_although_nats_and_nodes_go_away() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let ana = world.person_at(0, "ana").await;
    let there = ana.at(world.nodes[1].address);
    nothing_waits(&world).await;
    // NATS is down: the changes are committed, and their events wait.
    world.nats.kill9();
    renames(&ana, 0..3).await;
    assert!(waiting(&world).await >= 3);
    world.nats.start_again().await.expect("NATS");
    renames(&there, 3..6).await;
    nothing_waits(&world).await;
    // A node is killed after the commits. The next one takes the turn.
    for n in 0..3 {
        world.add_node("api").await;
        let mut first = world.nodes.remove(0);
        renames(&ana.at(first.address), 10 * n..10 * n + 10).await;
        first.kill9().await;
        nothing_waits(&world).await;
    }
    world.add_node("api,gateway,projector").await;
    let told = events_of(&world, &ana.id).await;
    assert_eq!(told.len(), 1 + 6 + 30);
    world.finish().await;
}

#[tokio::test]
async fn what_the_stream_has_is_not_stored_again_though_the_answer_was_lost_long_ago() {
    let mut world = World::empty(1).await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    renames(&ana, 0..2).await;
    nothing_waits(&world).await;
    let stored = trail(&world).await;
    let last = &stored[2];
    // The relay died between the answer and the removal of the row, and JetStream has forgotten the id since then.
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut config = jetstream.get_stream("AUDIT").await.expect("the stream").cached_info().config.clone();
    config.duplicate_window = std::time::Duration::from_millis(100);
    jetstream.update_stream(config).await.expect("changed");
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    sqlx::query(
        "insert into auth.audit (id, word, subject, time, actor, data)
         values ($1::uuid, $2, $3, now(), $3::uuid, '{\"changed\": [\"display_name\"]}')",
    )
    .bind(last["id"].as_str())
    .bind(last["type"].as_str())
    .bind(&ana.id)
    .execute(&mut connection)
    .await
    .expect("inserted");
    nothing_waits(&world).await;
    assert_eq!(trail(&world).await, stored);
    world.finish().await;
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_makes_few_events_for_known_and_unknown_names_alike() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    for name in [&*ana.name, "nobody"] {
        for _ in 0..21 {
            // No wait is in force.
            world.database.does("update auth.failure set failed_at = failed_at - interval '1 hour'").await;
            let guess = json!({ "username": name, "password": "not my password" });
            ask(ana.address, Method::POST, "/v1/logins", Some(guess)).await.refuses(401, "bad_credentials");
        }
    }
    let all = trail(&world).await;
    let failed: Vec<&Value> = all.iter().filter(|event| event["type"] == "login.failed").collect();
    let counts: Vec<u64> = failed.iter().filter_map(|event| event["data"]["failures"].as_u64()).collect();
    assert_eq!(counts, [5, 10, 20, 5, 10, 20], "{failed:#?}");
    assert!(failed[..3].iter().all(|event| event["subject"] == json!(ana.id)), "{failed:#?}");
    let unknown: HashSet<&str> = failed[3..].iter().filter_map(|event| event["subject"].as_str()).collect();
    assert!(unknown.len() == 1 && unknown.iter().all(|hash| hash.len() == 32), "{unknown:?}");
    assert!(!format!("{all:?}").contains("nobody"));
    world.finish().await;
}

#[tokio::test]
async fn a_lost_stream_of_audit_events_is_told_of_and_loses_none() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    nothing_waits(&world).await;
    let node = &world.nodes[0];
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let config = jetstream.get_stream("AUDIT").await.expect("the stream").cached_info().config.clone();
    jetstream.delete_stream("AUDIT").await.expect("an operator may");
    renames(&ana, 0..2).await;
    assert_eq!(node.tells("audit", "no_answer").await, "degraded");
    node.fires("VerbatimStreamDown").await;
    world.database.does("update auth.audit set time = time - interval '2 minutes'").await;
    node.fires("VerbatimAuditLate").await;
    for command in ["status", "check"] {
        let ran = world.runs(&[command]).await;
        assert!(
            ran.code == Some(1) && ran.stdout.contains("the stream AUDIT is missing"),
            "{command}: {ran:?}"
        );
    }

    // An operator makes it by hand, with a setting by which it may lose what it has acknowledged.
    let early = Config { persist_mode: Some(PersistenceMode::Async), ..config };
    jetstream.create_stream(early).await.expect("the stream");
    let checked = world.runs(&["check"]).await;
    let refused = "REFUSED  durability: persist_mode is async on AUDIT";
    assert!(checked.code == Some(1) && checked.stdout.contains(refused), "{checked:?}");
    jetstream.delete_stream("AUDIT").await.expect("an operator may");

    let recreated = world.runs(&["log", "recreate"]).await;
    assert_eq!(recreated.code, Some(0), "{recreated:?}");
    nothing_waits(&world).await;
    node.is_ready().await;
    node.is_calm("VerbatimAuditLate").await;
    node.is_calm("VerbatimStreamDown").await;
    let checked = world.runs(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    world.finish().await;
}
