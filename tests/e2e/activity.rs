//! An operator deactivates a user, however the account was created, and reactivates the user.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{ALL_SCOPES, Answer, PASSWORD, Person, Program, World, ask, eventually};

async fn logs_in(as_who: &Person, password: &str) -> Answer {
    let body = json!({ "username": as_who.name, "password": password });
    ask(as_who.address, Method::POST, "/v1/logins", Some(body)).await
}

async fn done(world: &World, arguments: &[&str]) -> String {
    let ran = world.runs(arguments).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.trim().to_owned()
}

async fn refused(world: &World, arguments: &[&str], says: &str) {
    let ran = world.runs(arguments).await;
    assert!(ran.code == Some(1) && ran.stderr.contains(says), "{ran:?}");
}

#[tokio::test]
async fn a_registered_user_is_shut_out_of_every_node_over_rest_and_by_command() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let operator = Program::bootstraps(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ben.starts_group("Lunch", &[&ana]).await;
    let there = ana.at(world.nodes[1].address);
    let (caller, account) = (&operator.person, format!("/v1/admin/users/{}", ana.id));
    let act = async |what: &str| caller.post(&format!("{account}/{what}"), json!({})).await;

    let mut socket = there.connects().await;
    act("deactivate").await.expect(204);
    assert_eq!(socket.is_closed_with().await, 4504);
    for node in &world.nodes {
        let at = ana.at(node.address);
        eventually("the node refuses the account", async || at.get("/v1/me").await.status == 403).await;
        at.get("/v1/me").await.refuses(403, "suspended");
        logs_in(&at, PASSWORD).await.refuses(403, "suspended");
        // Only the owner learns the state of an account.
        logs_in(&at, "not my password").await.refuses(401, "bad_credentials");
    }
    // The account stays a member, and a repeated request changes nothing.
    let members = ben.get(&format!("/v1/conversations/{}/members", lunch.id)).await.expect(200);
    assert_eq!(members["items"].as_array().map(Vec::len), Some(2), "{members}");
    act("deactivate").await.expect(204);

    act("reactivate").await.expect(204);
    for node in &world.nodes {
        let at = ana.at(node.address);
        eventually("the account is active there", async || at.get("/v1/me").await.status == 401).await;
        at.get("/v1/me").await.refuses(401, "login_revoked");
    }
    let login = logs_in(&there, PASSWORD).await.expect(201);
    let mut socket = Person::with(&login, there.address).connects().await;
    done(&world, &["users", "deactivate", &ana.name]).await;
    assert_eq!(socket.is_closed_with().await, 4504);
    done(&world, &["users", "reactivate", &ana.id]).await;
    eventually("the account is active again", async || {
        logs_in(&there, PASSWORD).await.status == StatusCode::CREATED
    })
    .await;

    // By its id, an account is managed with a key that cannot find users.
    let writer = operator.makes("writer", &["users:write"]).await.person;
    let url = format!("http://{}", writer.address);
    let remote = [("VERBATIM_URL", &*url), ("VERBATIM_KEY", &*writer.token)];
    let recovered = world.runs_with(&["users", "recover", &ana.id], &remote).await;
    assert!(recovered.code == Some(0) && recovered.stdout.starts_with("vbr_"), "{recovered:?}");
    let named = world.runs_with(&["users", "recover", &ana.name], &remote).await;
    assert!(named.code == Some(1) && named.stderr.contains("users:read"), "{named:?}");
    for (path, field) in [(format!("{account}/recovery"), "token"), ("/v1/admin/invites".into(), "code")] {
        let made = writer.send(Method::POST, &path, None).await.expect(201);
        assert!(made[field].is_string(), "a request without a body has the defaults: {made}");
    }

    let program = operator.makes("robot", ALL_SCOPES).await;
    let path = format!("/v1/admin/users/{}/deactivate", program.person.id);
    caller.post(&path, json!({})).await.refuses(404, "not_found");
    refused(&world, &["users", "deactivate", "robot"], "services keys revoke").await;
    refused(&world, &["users", "reactivate", "nobody.z"], "no account").await;
    // Each change makes an audit event, and a request that changes nothing makes none.
    let audited = format!("/v1/admin/audit?area=account&id={}", ana.id);
    let wanted =
        ["created", "suspended", "restored", "suspended", "restored"].map(|kind| format!("account.{kind}"));
    eventually("the changes stand in the trail", async || {
        let trail = caller.get(&audited).await.expect(200);
        let types = trail["items"].as_array().expect("items").iter().map(|event| event["type"].clone());
        types.eq(wanted.iter().map(|kind| json!(kind)))
    })
    .await;
    world.finish().await;
}
