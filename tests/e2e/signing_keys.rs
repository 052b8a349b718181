//! The keys that sign access tokens are rotated without interruption.

use std::{fs, net::SocketAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use reqwest::Method;
use serde_json::{Value, json};
use verbatim::credentials::Keys;

use crate::world::{Person, World, ask, eventually};

const ALL: &str = "api,gateway,projector";

/// The ids of the keys that a node publishes. The signing key comes first.
async fn published(at: SocketAddr) -> Vec<String> {
    let answer = ask(at, Method::GET, "/.well-known/jwks.json", None).await;
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    let keys = answer.expect(200);
    let names = keys["keys"].as_array().expect("keys").iter();
    names.map(|key| key["kid"].as_str().expect("kid").to_owned()).collect()
}

/// The id of the key that signed a token.
fn signer(token: &str) -> String {
    let header = BASE64URL.decode(token.split('.').next().expect("a header")).expect("base64");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("kid").to_owned()
}

async fn refreshes(person: &Person, at: SocketAddr) -> Person {
    let body = json!({ "refresh_token": person.refresh_token });
    let next = ask(at, Method::POST, "/v1/logins/refresh", Some(body)).await.expect(200);
    let mut person = person.clone();
    person.token = next["access_token"].as_str().expect("a token").to_owned();
    person.refresh_token = next["refresh_token"].as_str().expect("a token").to_owned();
    person
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_its_rotation_fails_no_request() {
    let mut world = World::empty(1).await;
    for _ in 0..3 {
        world.add_node(ALL).await;
    }
    let nodes: Vec<SocketAddr> = world.nodes.iter().map(|node| node.address).collect();
    let ana = Person::registers(nodes[0], "ana.a").await;
    let ben = Person::registers(nodes[1], "ben.b").await;
    let mut socket = ana.at(nodes[1]).connects().await;
    let old = published(nodes[0]).await;
    assert_eq!(old, [signer(&ana.token)]);

    let rotate = async || world.runs(&["signing-key", "rotate"]).await;
    let rotated = rotate().await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert!(rotated.stdout.contains(&format!("{}  signs\n", old[0])), "{rotated:?}");
    let refused = rotate().await;
    assert!(refused.code == Some(1) && refused.stderr.contains("already published"), "{refused:?}");
    for at in &nodes {
        eventually("the next key is published", async || published(*at).await.len() == 2).await;
    }
    let both = published(nodes[0]).await;
    assert_eq!(both[0], old[0], "the present key signs on");
    let new = &both[1];
    assert_eq!(signer(&refreshes(&ben, nodes[2]).await.token), old[0]);

    // The time of publishing is moved back, so that this story need not take sixteen minutes.
    let pass = "update auth.published_key set published_at = published_at - interval '16 minutes'";
    world.database.does(pass).await;
    // Every token of every node is valid at every other node immediately, whichever key has signed it.
    let mut seen = std::collections::BTreeSet::new();
    let mut login = ana.clone();
    let mut rounds = 0;
    while rounds < 30 {
        for (n, at) in nodes.iter().enumerate() {
            login = refreshes(&login, *at).await;
            if signer(&login.token) == *new {
                seen.insert(n);
            }
            for other in &nodes {
                login.at(*other).get("/v1/me").await.expect(200);
                ana.at(*other).get("/v1/me").await.expect(200);
            }
        }
        // In the last rounds, all nodes sign with the new key.
        rounds += usize::from(seen.len() == nodes.len());
    }
    assert_eq!(signer(&login.token), *new);
    socket.tells(json!({ "op": "ping", "id": "p" })).await;
    socket.gets("pong").await;
    for at in &nodes {
        assert_eq!(published(*at).await, [new.clone(), old[0].clone()], "the earlier key is told too");
    }
    let listed = world.runs(&["signing-key", "list"]).await.stdout;
    assert!(listed.contains(&format!("{}  valid, no longer signs\n{new}  signs", old[0])), "{listed}");

    // The old key is no longer valid once all tokens of it have expired.
    let pass = "update auth.published_key set published_at = published_at - interval '9 days'";
    world.database.does(pass).await;
    for at in &nodes {
        eventually("the old key has retired", async || published(*at).await == [new.clone()]).await;
        ana.at(*at).get("/v1/me").await.refuses(401, "invalid_token");
        login.at(*at).get("/v1/me").await.expect(200);
    }
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_key_that_has_leaked_is_replaced_at_once() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let old = published(ana.address).await;
    let mut socket = ana.connects().await;
    let begin = ana.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("cursor").to_owned();
    let waits = tokio::spawn({
        let ana = ana.clone();
        async move { ana.get(&format!("/v1/events?wait=60&after={begin}")).await }
    });
    assert_eq!(world.runs(&["signing-key", "rotate"]).await.code, Some(0));
    eventually("the next key is published", async || published(ana.address).await.len() == 2).await;
    socket.tells(json!({ "op": "ping", "id": "still here" })).await;
    socket.gets("pong").await;
    let replaced = world.runs(&["signing-key", "rotate", "--now"]).await;
    assert_eq!((replaced.code, replaced.stdout.lines().count()), (Some(0), 1), "{replaced:?}");
    eventually("the old key has ended", async || ana.get("/v1/me").await.status == 401).await;
    ana.get("/v1/me").await.refuses(401, "invalid_token");
    assert_eq!(socket.is_closed_with().await, 4401);
    waits.await.expect("no panic").refuses(401, "login_revoked");
    let keys = published(ana.address).await;
    assert!(keys.len() == 1 && keys != old, "{keys:?}");
    let refresh = json!({ "refresh_token": ana.refresh_token });
    let refused = ask(ana.address, Method::POST, "/v1/logins/refresh", Some(refresh)).await;
    refused.refuses(401, "invalid_grant");
    let again = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    again.get("/v1/me").await.expect(200);
    world.finish_without_views().await;
}

#[tokio::test]
async fn keys_in_files_rotate_node_by_node() {
    let mut world = World::empty(1).await;
    let file = |name: &str| {
        let path = world.dir().join(name);
        fs::write(&path, Keys::generate_pem().as_bytes()).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (old, new) = (file("old.pem"), file("new.pem"));
    let set = |current, other: &'static str, key| {
        [("VERBATIM_SIGNING_KEY_FILE", current), (other, key)]
            .map(|(name, file): (&str, &String)| (name, &**file))
    };
    const NEXT: &str = "VERBATIM_NEXT_SIGNING_KEY_FILE";
    const PREVIOUS: &str = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE";
    let settings = set(&old, NEXT, &new);
    let before = world.add_node_with(ALL, &settings).await.address;
    let names = published(before).await;
    assert_eq!(names.len(), 2);
    let ana = Person::registers(before, "ana.a").await;
    assert_eq!(signer(&ana.token), names[0], "the next key does not sign");

    // A node that gets the new key too early still signs with the old one.
    let settings = set(&new, PREVIOUS, &old);
    let early = world.add_node_with(ALL, &settings).await.address;
    assert_eq!(published(early).await, names);
    let early = Person::logs_in(early, &ana.name, &ana.id).await;
    assert_eq!(signer(&early.token), names[0]);

    let pass = "update auth.published_key set published_at = published_at - interval '16 minutes'";
    world.database.does(pass).await;
    let after = world.add_node_with(ALL, &settings).await.address;
    assert_eq!(published(after).await, [names[1].clone(), names[0].clone()]);
    let late = Person::logs_in(after, &ana.name, &ana.id).await;
    assert_eq!(signer(&late.token), names[1]);
    for person in [&ana, &early, &late] {
        for at in [before, early.address, after] {
            person.at(at).get("/v1/me").await.expect(200);
        }
    }
    // The refresh token of the new key is valid at a node that signs with the old one.
    let again = refreshes(&late, before).await;
    again.at(after).get("/v1/me").await.expect(200);

    let key = [("VERBATIM_SIGNING_KEY_FILE", &*new)];
    let refused = world.runs_with(&["signing-key", "rotate"], &key).await;
    assert!(refused.code == Some(1) && refused.stderr.contains(NEXT), "{refused:?}");
    world.finish_without_views().await;
}
