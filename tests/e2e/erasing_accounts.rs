//! Erasures of accounts: by an operator, and by the users themselves.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use verbatim::{
    domain::{Event, MessageEdited, MessageSent, Time},
    log::{Log, Wanted},
    supervise::Supervisor,
};

use crate::{
    erasing::{MARKER, files_of_database, is_done, says_the_marker, starts_eraser, with_marker},
    world::{PASSWORD, Person, Program, World, a_message, assert_linked, drafted, eventually},
};

async fn name_of(id: &str, seen_by: &Person) -> String {
    let seen = seen_by.get(&format!("/v1/users/{id}")).await.expect(200);
    assert_eq!(seen["display_name"], seen["username"], "{seen}");
    seen["username"].as_str().expect("a name").to_owned()
}

async fn forgets(world: &World) -> Program {
    Program::bootstraps(world).await.makes("forgets", &["admin:erasure", "users:write"]).await
}

#[tokio::test]
async fn an_erased_account_is_nobody_and_its_words_are_in_no_store() {
    let world = World::start().await;
    let program = forgets(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    ana.patch("/v1/me", json!({ "display_name": MARKER })).await.expect(200);
    let (lunch, left) = (ben.starts_group("Lunch", &[&ana]).await, ben.starts_group("Left", &[&ana]).await);
    for n in 0..8 {
        let to = if n % 2 == 0 { &lunch } else { &left };
        says_the_marker(&ana, to, n).await;
        ben.says(to, "and so on").await;
    }
    let (cem, chat) = (world.person("cem").await, ben.starts_direct(&ana).await.expect(201));
    let edited = ben.sends(&lunch, "bens-key", "mine").await.expect(201);
    ben.removes(&left, &ana).await.expect(204);
    // A message that was in flight while ana was removed is void, but it is in the log.
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let void = a_message("too-late", MARKER);
    let void_at = log.append(&drafted(&left, &ana, void.clone())).await.expect("stored").position;
    let cursor = ben.connects().await.cursor();

    let mut eraser = starts_eraser(&world);
    let ask = json!({ "user_id": ana.id, "scope": "account_and_content", "reason_code": "request" });
    let asked = program.person.post("/v1/admin/erasures", ask.clone()).await.expect(202);
    assert_eq!((&asked["scope"], &asked["user_id"]), (&json!("account_and_content"), &json!(ana.id)));
    let id = asked["id"].as_str().expect("an id");
    eventually("ana is out", || async { ana.get("/v1/me").await.status == 403 }).await;
    ana.get("/v1/me").await.refuses(403, "suspended");
    let again = json!({ "username": ana.name, "password": PASSWORD });
    ben.post("/v1/logins", again).await.refuses(401, "bad_credentials");
    let receipt = is_done(&program, id).await;
    let counts = &receipt["counts"];
    assert_eq!((&counts["messages"], &counts["edits"]), (&json!(9), &json!(3)), "{receipt}");
    assert!(counts["rows"].as_u64() >= Some(2), "the account and its login: {receipt}");
    assert!(name_of(&ana.id, &ben).await.strip_prefix("erased-").is_some_and(|hex| hex.len() == 8));

    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    world.database.does("vacuum full auth.account").await;
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    assert_eq!(with_marker(&files_of_database(&world).await), [] as [PathBuf; 0]);
    let mut device = ben.resumes(&cursor).await;
    device.catches_up().await;
    for conversation in [&lunch, &left] {
        assert_linked(&device.chain(conversation));
    }
    let shown = ben.history(&lunch, edited["position"].as_u64().expect("position")).await;
    assert!(shown.contains(&"mine".to_owned()) && shown.iter().all(|text| !text.contains(MARKER)));

    // The account cannot be brought into conversations, but those that have begun are still found.
    cem.starts_direct(&ana).await.refuses(400, "invalid_body");
    ben.invites(&left, &ana).await.refuses(400, "invalid_body");
    assert_eq!(ben.starts_direct(&ana).await.expect(200)["id"], chat["id"]);

    // The account is deactivated for good, and there is nothing more to erase.
    for act in ["deactivate", "reactivate", "recovery"] {
        let path = format!("/v1/admin/users/{}/{act}", ana.id);
        program.person.post(&path, json!({})).await.refuses(404, "not_found");
    }
    program.person.post("/v1/admin/erasures", ask).await.refuses(400, "invalid_body");
    assert_eq!(world.runs(&["erasures", "verify", id]).await.code, Some(0));
    for act in ["deactivate", "reactivate"] {
        let refused = world.runs(&["users", act, &ana.id]).await;
        assert!(refused.code == Some(1) && refused.stderr.contains("is erased"), "{refused:?}");
    }
    assert_eq!(world.runs(&["check"]).await.code, Some(0));
    let trail = world.runs(&["audit", "tail"]).await.stdout;
    for word in ["account.suspended", "account.erased", "erasure.asked", "erasure.done"] {
        assert!(trail.contains(word), "{word}: {trail}");
    }
    assert!(!trail.contains(MARKER));

    // What was on its way to the log for longer than the second search has waited is found three minutes later.
    let Event::MessageSent(MessageSent { message_id, .. }) = void else { unreachable!("it is a message") };
    let edit = MessageEdited {
        message_id,
        message_position: void_at,
        client_id: None,
        text: MARKER.into(),
        mentions: Vec::new(),
    };
    for late in [a_message("much-too-late", MARKER), Event::MessageEdited(edit)] {
        log.append(&drafted(&left, &ana, late)).await.expect("stored");
    }
    assert_ne!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    world.database.does("update auth.erasure set hidden_at = hidden_at - interval '3 minutes'").await;
    let is_gone = async || with_marker(world.nats.folder()).is_empty();
    eventually("the late content is gone", is_gone).await;
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn a_user_has_a_day_to_think_again() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let ask = async |body: Value| ana.post("/v1/me/erasure", body).await;
    let asked = ask(json!({ "scope": "account_and_content" })).await.expect(202);
    assert_eq!((&asked["state"], &asked["scope"]), (&json!("waiting"), &json!("account_and_content")));
    let time = |name: &str| serde_json::from_value::<Time>(asked[name].clone()).expect("a time");
    assert_eq!(time("starts_at").since(time("requested_at")), Duration::from_secs(86_400));
    assert_eq!(ana.get("/v1/me/erasure").await.expect(200), asked);
    ana.delete("/v1/me/erasure").await.expect(204);
    ana.get("/v1/me/erasure").await.refuses(404, "not_found");
    ana.delete("/v1/me/erasure").await.refuses(404, "not_found");

    // An older login needs the password.
    ask(json!({ "scope": "account", "confirm": "wrong horse battery" })).await.refuses(403, "wrong_password");
    world.database.does("update auth.login set created_at = created_at - interval '6 minutes'").await;
    let refused = ask(json!({ "scope": "account" })).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/confirm", "{refused}");
    ask(json!({ "scope": "account", "confirm": PASSWORD })).await.expect(202);
    let said = ana.says(&lunch, "still here").await;
    ana.get("/v1/me").await.expect(200);

    // After the day has passed, ana's messages stay, from a user without a name.
    world.database.does("update auth.erasure set starts_at = now()").await;
    eventually("ana is out", || async { ana.get("/v1/me").await.status == 403 }).await;
    eventually("the name is gone", || async { name_of_or_none(&ana.id, &ben).await.is_some() }).await;
    let position = said["position"].as_u64().expect("position");
    assert_eq!(ben.history(&lunch, position).await, ["still here"]);
    world.finish().await;
}

async fn name_of_or_none(id: &str, seen_by: &Person) -> Option<String> {
    let seen = seen_by.get(&format!("/v1/users/{id}")).await.expect(200);
    seen["username"].as_str()?.strip_prefix("erased-").map(str::to_owned)
}
