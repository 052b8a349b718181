//! Servers are restored from backups that are older or newer than the other servers: a mismatch is refused.

use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use crate::world::{Beginning, Conversation, Database, PASSWORD, Person, World, ask, eventually, tools};

/// The log lines of a node that finds views of another log.
const MEANT: [&str; 2] = ["the views belong to another log", "the projection has stopped"];

/// Two people in a conversation.
async fn talk(world: &World) -> (Person, Person, Conversation) {
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    (ana, ben, lunch)
}

/// Sends messages, waits until the views have them, and returns the last position.
async fn says_all(who: &Person, to: &Conversation, texts: &[&str]) -> u64 {
    let mut last = 0;
    for text in texts {
        last = who.says(to, text).await["position"].as_u64().expect("position");
    }
    who.history(to, last).await;
    last
}

const ALL: &str = "api,gateway,projector";

/// Replaces a stopped node by one that has begun to start.
async fn again(world: &mut World, node: Beginning) {
    world.nodes[0] = node.serves().await;
}

/// Starts a node that replaces a stopped one.
async fn starts_again(world: &mut World) {
    let node = world.begins_node(ALL, &[]).await;
    again(world, node).await;
}

/// Copies the log, sends more messages, and puts the copy back. Returns the last cursor that a client received.
async fn falls_back(world: &mut World, [ana, ben]: [&Person; 2], to: &Conversation, more: &[&str]) -> String {
    world.nodes[0].stop().await;
    let copy = world.copies_the_log().await;
    starts_again(world).await;
    says_all(&ana.at(world.nodes[0].address), to, more).await;
    let cursor = ben.at(world.nodes[0].address).connects().await.cursor();
    world.nodes[0].stop().await;
    world.restores_the_log(&copy).await;
    cursor
}

/// Asserts that a node, `status`, `check`, `verify` and `rebuild` all report the mismatch and change nothing.
async fn views_are_refused(world: &World, node: &Beginning, because: &str) {
    eventually("the node is not ready and says why", || async {
        let (code, body) = node.readiness().await;
        let told = body["trouble"].as_str().unwrap_or_default().to_owned();
        code == 503 && told.contains("views_of_another_log") && told.contains(because)
    })
    .await;
    for command in [&["status"][..], &["check"]] {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        assert!(ran.stdout.contains("REFUSED") && ran.stdout.contains(because), "{command:?}: {ran:?}");
    }
    for command in [&["verify"][..], &["rebuild", "all"], &["rebuild", "messages"]] {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        assert!(ran.stderr.contains(because), "{command:?}: {ran:?}");
    }
}

#[tokio::test]
async fn an_older_log_under_newer_views_is_refused_until_an_operator_decides() {
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    says_all(&ana, &lunch, &["one", "two"]).await;
    let cursor = falls_back(&mut world, [&ana, &ben], &lunch, &["three", "four", "five"]).await;

    let node = world.begins_node(ALL, &[]).await;
    views_are_refused(&world, &node, "the log ends at").await;
    let forced = world.runs(&["rebuild", "all", "--force"]).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    again(&mut world, node).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let mut device = ben.resumes(&cursor).await;
    assert_eq!(device.gets("reset").await["reason"], "cursor_from_the_future");

    // The log grows beyond its old head. The cursor is now within the log again, but at another event.
    let last = says_all(&ana, &lunch, &["3", "4", "5", "6", "7"]).await;
    let mut device = ben.resumes(&cursor).await;
    assert_eq!(device.gets("reset").await["reason"], "cursor_of_another_log");
    ben.get(&format!("/v1/events?after={cursor}")).await.refuses_cursor("cursor_of_another_log");
    assert_eq!(ana.history(&lunch, last).await, ["one", "two", "3", "4", "5", "6", "7"]);
    world.views_equal_a_rebuild().await;
    world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn a_log_that_has_grown_over_the_views_is_known_by_its_events() {
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    says_all(&ana, &lunch, &["one"]).await;
    falls_back(&mut world, [&ana, &ben], &lunch, &["two", "three"]).await;

    // The log grows while it is used with another database, so these views do not follow it.
    let others = Database::new().await;
    let views = std::mem::replace(&mut world.database, others);
    starts_again(&mut world).await;
    let cleo = world.person("cleo").await;
    let notes = cleo.starts_group("Notes", &[]).await;
    says_all(&cleo, &notes, &["a", "b", "c", "d", "e"]).await;
    world.nodes[0].stop().await;
    std::mem::replace(&mut world.database, views).drop().await;

    let node = world.begins_node(ALL, &[]).await;
    views_are_refused(&world, &node, "the log has event").await;
    drop(node);
    let node = world.begins_node(ALL, &["--rebuild"]).await;
    again(&mut world, node).await;
    assert_eq!(ben.at(world.nodes[0].address).history(&lunch, 0).await, ["one"]);
    world.views_equal_a_rebuild().await;
    world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn views_that_run_ahead_while_a_node_serves_take_it_out_until_they_are_right_again() {
    let world = World::start().await;
    let (ana, _ben, lunch) = talk(&world).await;
    says_all(&ana, &lunch, &["one"]).await;
    world.database.does("update view.checkpoint set position = position + 50").await;
    let readiness = || async { world.nodes[0].readiness().await };
    eventually("the node is out, and says why", || async {
        let (code, body) = readiness().await;
        code == 503 && body["trouble"].as_str().is_some_and(|told| told.contains("views_of_another_log"))
    })
    .await;
    let status = world.runs(&["status"]).await;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.stdout.contains("AHEAD by 50"), "{status:?}");
    assert_eq!(world.runs(&["check"]).await.code, Some(1));
    world.database.does("update view.checkpoint set position = position - 50").await;
    eventually("the node is back", || async { readiness().await.0 == 200 }).await;
    says_all(&ana, &lunch, &["two"]).await;
    world.views_equal_a_rebuild().await;
    world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn a_log_that_is_replaced_under_a_node_takes_it_out() {
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    says_all(&ana, &lunch, &["one"]).await;
    world.nodes[0].stop().await;
    let copy = world.copies_the_log().await;
    starts_again(&mut world).await;
    says_all(&ana.at(world.nodes[0].address), &lunch, &["two", "three"]).await;
    let device = ben.at(world.nodes[0].address).connects().await;
    world.restores_the_log(&copy).await;
    let ended = world.nodes[0].ends().await;
    assert_eq!(ended, Some(1), "a process whose memory is of another log does not go on");
    drop(device);
    let node = world.begins_node(ALL, &[]).await;
    views_are_refused(&world, &node, "the log ends at").await;
    drop(node);
    world.nodes.clear();
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_new_epoch_resets_every_cursor_and_keeps_all_else() {
    let mut world = World::with_streams(2).await;
    let (ana, ben, lunch) = talk(&world).await;
    let last = says_all(&ana, &lunch, &["one", "two"]).await;
    let cursor = ben.connects().await.cursor();
    let begun = world.runs(&["log", "begin-epoch"]).await;
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let ended = world.nodes[0].ends().await;
    assert_eq!(ended, Some(1), "a process does not go on in an epoch that it does not know");
    for command in ["check", "status", "verify"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    starts_again(&mut world).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let mut device = ben.resumes(&cursor).await;
    assert_eq!(device.gets("reset").await["reason"], "epoch_changed");
    assert_eq!(ana.history(&lunch, last).await, ["one", "two"]);
    let next = ana.says(&lunch, "three").await["position"].as_u64().expect("position");
    assert!(next > last, "positions go on");
    device.sees("three").await;
    world.finish().await;
}

#[tokio::test]
async fn an_older_database_catches_up_and_logins_revoked_since_are_ended() {
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    says_all(&ana, &lunch, &["one"]).await;
    world.nodes[0].stop().await;
    let copy = world.database.copy().await;
    let copied_at: String = world
        .database
        .finds(r#"select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
        .await;
    starts_again(&mut world).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let last = says_all(&ana, &lunch, &["two", "three"]).await;
    let cursor = ben.connects().await.cursor();
    ben.delete("/v1/logins/current").await.expect(204);
    world.nodes[0].stop().await;
    std::mem::replace(&mut world.database, copy).drop().await;

    let revoked = world.runs(&["logins", "revoke", "--since", &copied_at]).await;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert!(revoked.stdout.starts_with("revoked 2 logins"), "{revoked:?}");
    starts_again(&mut world).await;
    let address = world.nodes[0].address;
    let refresh = json!({ "refresh_token": ben.refresh_token });
    let refused = ask(address, reqwest::Method::POST, "/v1/logins/refresh", Some(refresh)).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    let ana = Person::logs_in(address, &ana.name, &ana.id).await;
    let ben = Person::logs_in(address, &ben.name, &ben.id).await;
    assert_eq!(ana.history(&lunch, last).await, ["one", "two", "three"]);
    let mut device = ben.resumes(&cursor).await;
    device.gets("caught_up").await;
    world.finish().await;
}

#[tokio::test]
async fn a_cursor_outlives_the_signing_key() {
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    let cursor = ben.connects().await.cursor();
    says_all(&ana, &lunch, &["one"]).await;
    world.nodes[0].stop().await;
    world.database.does("delete from auth.signing_key").await;
    starts_again(&mut world).await;
    let address = world.nodes[0].address;
    ben.at(address).get("/v1/me").await.refuses(401, "invalid_token");
    let mut device = Person::logs_in(address, &ben.name, &ben.id).await.resumes(&cursor).await;
    device.sees("one").await;
    device.gets("caught_up").await;
    world.finish().await;
}

#[tokio::test]
async fn an_older_binary_accepts_a_newer_database() {
    let world = World::start().await;
    let newer = "insert into auth._sqlx_migrations (version, description, success, checksum, execution_time)
                 values (9999, 'of a newer version', true, '', 0)";
    world.database.does(newer).await;
    for command in ["migrate", "check", "status"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    world.finish().await;
}

/// The path of `pg_dump` or `pg_restore`.
fn postgres_tool(name: &str) -> Option<PathBuf> {
    let beside = tools().postgres_bin.join("postgres").canonicalize().ok()?.parent()?.join(name);
    let in_path =
        || std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|p| p.exists());
    Some(beside).filter(|path| path.exists()).or_else(in_path)
}

#[tokio::test]
async fn lost_views_and_accounts_come_back_from_the_log_and_a_dump() {
    let [Some(dump), Some(restore)] = ["pg_dump", "pg_restore"].map(postgres_tool) else {
        eprintln!("PASSED OVER: there is no pg_dump beside Postgres or in PATH");
        return;
    };
    let mut world = World::start().await;
    let (ana, ben, lunch) = talk(&world).await;
    let last = says_all(&ana, &lunch, &["one", "two"]).await;
    let cursor = ben.connects().await.cursor();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let made = Command::new(dump)
        .args(["--schema=auth", "--schema=hooks", "--format=custom", "--file"])
        .arg(file.path())
        .arg(&world.database.url)
        .status()
        .await;
    assert!(made.expect("pg_dump runs").success());
    world.nodes[0].stop().await;

    // Here all of Postgres is lost. A database that lacks only these two schemas does not count as migrated either.
    world.database.does("drop schema auth cascade; drop schema hooks cascade").await;
    let checked = world.runs(&["check"]).await;
    assert!(checked.code == Some(1) && checked.stdout.contains("verbatim migrate"), "{checked:?}");
    world.database.does("drop schema view cascade; drop schema public cascade; create schema public").await;
    let restored = Command::new(restore)
        .args(["--exit-on-error", "--dbname"])
        .arg(&world.database.url)
        .arg(file.path())
        .status()
        .await;
    assert!(restored.expect("pg_restore runs").success());
    let migrated = world.runs(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");

    starts_again(&mut world).await;
    let ben = ben.at(world.nodes[0].address);
    assert_eq!(ben.history(&lunch, last).await, ["one", "two"]);
    ben.resumes(&cursor).await.gets("caught_up").await;
    let login = json!({ "username": ana.name, "password": PASSWORD });
    ask(ben.address, reqwest::Method::POST, "/v1/logins", Some(login)).await.expect(201);
    world.finish().await;
}
