//! Registration that is closed or by invitation, and the recovery of an account with a forgotten password.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, Person, World, ask, eventually};

const ROLES: &str = "api,gateway,projector";

async fn world_with(registration: &str) -> World {
    let mut world = World::empty(1).await;
    world.add_node_with(ROLES, &[("VERBATIM_REGISTRATION", registration)]).await;
    world
}

async fn registers(world: &World, name: &str, invite: Option<&str>) -> Answer {
    let mut body = json!({ "username": name, "password": PASSWORD });
    if let Some(invite) = invite {
        body["invite"] = invite.into();
    }
    ask(world.nodes[0].address, Method::POST, "/v1/accounts", Some(body)).await
}

async fn said(world: &World, arguments: &[&str]) -> String {
    let ran = world.runs(arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.trim().to_owned()
}

async fn registration_in_info(world: &World) -> Value {
    ask(world.nodes[0].address, Method::GET, "/v1/info", None).await.expect(200)["registration"].clone()
}

#[tokio::test]
async fn where_registration_is_closed_nobody_registers_and_everybody_is_told() {
    let world = world_with("closed").await;
    assert_eq!(registration_in_info(&world).await, "closed");
    let code = said(&world, &["invites", "add"]).await;
    for invite in [None, Some(&*code)] {
        registers(&world, "ana", invite).await.refuses(403, "registration_closed");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_code_lets_in_as_many_as_it_says_and_every_other_code_gets_one_answer() {
    let world = world_with("invite").await;
    assert_eq!(registration_in_info(&world).await, "invite");
    let two = said(&world, &["invites", "add", "--uses", "2"]).await;
    // Of many concurrent registrations, two succeed.
    let names = ["ana", "ben", "cleo", "dora", "emil", "fritz"];
    let answers = join_all(names.map(|name| registers(&world, name, Some(&two)))).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 2, "{answers:?}");
    // A registration with a taken name does not use up the code.
    let taken = names[answers.iter().position(|answer| answer.status == 201).expect("one")];
    let one = said(&world, &["invites", "add"]).await;
    registers(&world, taken, Some(&one)).await.refuses(409, "username_taken");
    registers(&world, "gerda", Some(&one)).await.expect(201);

    let revoked = said(&world, &["invites", "add"]).await;
    let list = said(&world, &["invites", "list"]).await;
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(!list.contains("vbi_"), "{list}");
    let id = list.lines().next().and_then(|line| line.split(' ').next()).expect("an id");
    said(&world, &["invites", "revoke", id]).await;
    let mut answers = Vec::new();
    for invite in [None, Some("vbi_x"), Some(&*two), Some(&*one), Some(&*revoked)] {
        // A taken name gets the same answer, so strangers learn nothing about names.
        for name in ["hugo", taken] {
            let mut answer = registers(&world, name, invite).await.refuses(403, "invalid_invite");
            answer["request_id"].take();
            answers.push(answer);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    world.finish().await;
}

async fn recovers(person: &Person, token: &str, password: &str) -> Answer {
    let body = json!({ "token": token, "new_password": password });
    ask(person.address, Method::POST, "/v1/accounts/recovery", Some(body)).await
}

const NEW: &str = "staple, but longer";

#[tokio::test]
async fn a_recovery_token_sets_the_password_once_and_ends_all_logins_everywhere() {
    let mut world = World::start().await;
    world.add_node(ROLES).await;
    let ana = world.person("ana").await;
    let mut socket = ana.at(world.nodes[1].address).connects().await;
    let before = said(&world, &["users", "recover", &ana.name]).await;
    let token = said(&world, &["users", "recover", &ana.id, "--expires-in", "300"]).await;
    let shown = said(&world, &["users", "show", &ana.name]).await;
    assert!(shown.contains(&ana.id) && shown.contains("active") && !shown.contains("deactivated"), "{shown}");
    let none = world.runs(&["services", "keys", "add", &ana.id, "--name", "x"]).await;
    assert!(none.code == Some(1) && none.stderr.contains("no service account with this id"), "{none:?}");
    let cid = world.person("cid").await;
    said(&world, &["users", "deactivate", &cid.name]).await;
    let shown = said(&world, &["users", "show", &cid.name]).await;
    assert!(shown.contains("state           deactivated") && shown.contains("deactivated at"), "{shown}");

    // A refused password does not spend the token, and the older token has been revoked.
    recovers(&ana, &token, "password").await.refuses(400, "invalid_body");
    recovers(&ana, &before, NEW).await.refuses(401, "invalid_recovery");
    let answers = join_all((0..4).map(|_| recovers(&ana, &token, NEW))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 1, "{answers:?}");
    recovers(&ana, &token, NEW).await.refuses(401, "invalid_recovery");

    assert_eq!(socket.is_closed_with().await, 4503);
    for node in &world.nodes {
        let there = ana.at(node.address);
        eventually("the login has ended there", async || there.get("/v1/me").await.status == 401).await;
        there.get("/v1/me").await.refuses(401, "login_revoked");
    }
    let log_in = |password: &str| {
        let body = json!({ "username": ana.name, "password": password });
        async move { ask(ana.address, Method::POST, "/v1/logins", Some(body)).await }
    };
    log_in(NEW).await.expect(201);
    log_in(PASSWORD).await.refuses(401, "bad_credentials");

    let missing = world.runs(&["users", "recover", "nobody.z"]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("no account"), "{missing:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_expired_recovery_token_is_refused_and_guessing_one_is_limited() {
    let mut world = World::empty(1).await;
    world.add_node_with(ROLES, &[("VERBATIM_LIMIT_LOGIN", "5/20000:5")]).await;
    let ana = world.person("ana").await;
    let token = said(&world, &["users", "recover", &ana.name]).await;
    world.database.does("update auth.recovery set expires_at = now() - interval '1 second'").await;
    let mut expired = recovers(&ana, &token, NEW).await.refuses(401, "invalid_recovery");
    let mut wrong = recovers(&ana, "vbr_x", NEW).await.refuses(401, "invalid_recovery");
    for answer in [&mut expired, &mut wrong] {
        answer["request_id"].take();
    }
    assert_eq!(expired, wrong);
    let mut refused = false;
    for _ in 0..10 {
        refused = refused || recovers(&ana, "vbr_x", NEW).await.status == 429;
    }
    assert!(refused, "guesses are limited");
    world.finish().await;
}
