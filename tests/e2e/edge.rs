//! Requests of clients without a token.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{PASSWORD, PATIENCE, World, ask, eventually, key, open};

#[tokio::test]
async fn bad_requests_get_a_problem_that_says_what_to_do() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    for id in ["1", "abc", "*", ">", "a.b", "$JS", "%2e%2e", "00000000-0000-0000-0000-000000000000"] {
        let answer = ana.get(&format!("/v1/conversations/{id}")).await;
        assert!([400, 404].contains(&answer.status.as_u16()), "{id}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    ana.get("/v1/nothing").await.expect(404);
    let answer = ana.send(Method::PUT, "/v1/conversations", None).await;
    assert!(answer.headers.contains_key("allow"), "{answer:?}");
    answer.expect(405);
    for path in ["/metrics", "/readyz", "/.git/config", "/debug"] {
        ask(ana.address, Method::GET, path, None).await.expect(404);
    }
    let big = json!({ "client_id": key(), "text": "x".repeat(70_000) });
    ana.post(&format!("/v1/conversations/{}/messages", lunch.id), big).await.expect(413);
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/logins", ana.address))
        .body("username=ana")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 415);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let deep: serde_json::Value = serde_json::from_str(&deep).expect("JSON");
    ana.post("/v1/conversations", deep).await.expect(400);
    world.finish().await;
}

#[tokio::test]
async fn a_socket_that_breaks_the_rules_is_closed_and_the_others_are_not() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let (mut good, mut bad) = (ana.connects().await, ana.connects().await);
    // A user may type nothing as often as he likes. A client that does not know the protocol is sent away.
    let empty =
        json!({ "op": "send", "id": "1", "conversation_id": lunch.id, "client_id": key(), "text": "" });
    for _ in 0..12 {
        bad.tells(empty.clone()).await;
        let refused = bad.gets("error").await;
        assert_eq!((&refused["id"], &refused["code"]), (&json!("1"), &json!("invalid_frame")), "{refused}");
    }
    for _ in 0..10 {
        bad.tells(json!({ "op": "sing" })).await;
    }
    assert_eq!(bad.is_closed_with().await, 4500);
    good.tells(json!({ "op": "hello" })).await;
    assert_eq!(good.gets("error").await["code"], "already_begun");
    good.says(&lunch, "still here").await;

    let mut raw = TcpStream::connect(ana.address).await.expect("connection");
    raw.write_all(b"GET /v1/ws HTT").await.expect("write");
    let mut heard = Vec::new();
    timeout(Duration::from_secs(20), raw.read_to_end(&mut heard))
        .await
        .expect("half a request is given up")
        .ok();
    world.finish().await;
}

#[tokio::test]
async fn a_user_and_a_node_have_so_many_sockets_and_no_more() {
    let mut world = World::empty(1).await;
    let settings = [("VERBATIM_SOCKETS_PER_USER", "2"), ("VERBATIM_SOCKETS", "5")];
    world.add_node_with("api,gateway,projector", &settings).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (one, _two) = (ana.connects().await, ana.connects().await);
    // Browsers do not show a page the status of a handshake, so some refusals are closes of an open socket.
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut socket = open(ana.address, Some(&ana.token)).await.expect("a socket");
        match timeout(PATIENCE, socket.next()).await {
            Ok(Some(Ok(Message::Close(Some(close))))) => assert_eq!(u16::from(close.code), 4429),
            other => panic!("it is not closed: {other:?}"),
        }
        told.push(socket);
    }
    assert_eq!(open(ana.address, Some(&ana.token)).await.err(), Some(429));
    let _fifth = ben.connects().await;
    assert_eq!(open(ben.address, Some(&ben.token)).await.err(), Some(503));
    one.leaves().await;
    drop(told);
    eventually("there is room again", || async {
        let Ok(mut socket) = open(ana.address, Some(&ana.token)).await else { return false };
        let greeted = socket.send(r#"{"op":"hello"}"#.into()).await;
        greeted.is_ok() && matches!(socket.next().await, Some(Ok(Message::Text(_))))
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn pages_of_named_origins_may_come_in_and_others_may_not() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_ORIGINS", "https://chat.example")]).await;
    let url = format!("http://{}/v1/accounts", world.nodes[0].address);
    let preflight = |origin: &'static str| {
        let request = reqwest::Client::new().request(Method::OPTIONS, &url).header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        request.header("Access-Control-Request-Headers", "authorization,content-type").send()
    };
    let answer = preflight("https://chat.example").await.expect("an answer");
    assert!(answer.status().is_success(), "{answer:?}");
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://chat.example");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    let refused = preflight("https://chat.example.evil.io").await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["content-type"]),
        (403, &"application/problem+json".parse().expect("header"))
    );
    let problem =
        reqwest::Client::new().get(format!("{url}/none")).header("Origin", "https://chat.example").send();
    let problem = problem.await.expect("an answer");
    assert_eq!(
        problem.headers()["access-control-allow-origin"],
        "https://chat.example",
        "a page can read what went wrong"
    );
    let told = problem.headers()["access-control-expose-headers"].to_str().expect("text");
    assert!(told.split(", ").any(|name| name == "ratelimit-policy"), "{told}");
    world.finish().await;
}

/// Swagger UI, which this server serves itself, makes such requests.
#[tokio::test]
async fn a_page_of_the_servers_own_origin_is_no_stranger() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_ORIGINS", "https://chat.example")]).await;
    let own = format!("http://{}", world.nodes[0].address);
    let page = reqwest::get(format!("{own}/docs/")).await.expect("an answer");
    assert_eq!(page.status(), 200);
    let registers = |name: &str, origin: &str| {
        let body = json!({ "username": name, "password": PASSWORD }).to_string();
        let request = reqwest::Client::new().post(format!("{own}/v1/accounts")).header("Origin", origin);
        request.header("Content-Type", "application/json").body(body).send()
    };
    assert_eq!(registers("swagger", &own).await.expect("an answer").status(), 201);
    let neighbour = own.replace("http://127.0.0.1", "http://localhost");
    for stranger in [&*neighbour, "https://own.example", "null"] {
        assert_eq!(registers("stranger", stranger).await.expect("an answer").status(), 403, "{stranger}");
    }
    let large =
        reqwest::Client::new().post(format!("{own}/v1/logins")).header("Origin", "https://chat.example");
    let large = large.body("x".repeat(70_000)).send().await.expect("an answer");
    assert_eq!(large.status(), 413);
    assert_eq!(large.headers()["access-control-allow-origin"], "https://chat.example", "it can be read");
    world.finish().await;
}

#[tokio::test]
async fn a_socket_whose_client_is_gone_without_a_word_is_reaped_within_a_minute() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let mut socket = open(ana.address, Some(&ana.token)).await.expect("a socket");
    socket.send(Message::Text(r#"{"op":"hello"}"#.into())).await.expect("open");
    let presence = format!("/v1/users/{}/presence", ana.id);
    eventually("ana is here", async || ana.get(&presence).await.expect(200)["status"] == "online").await;
    // A client that does not read answers no ping. Meanwhile the buffers of the network take the frames.
    tokio::time::sleep(Duration::from_secs(57)).await;
    let closed = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(close)))) => return u16::from(close.code),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(3), closed).await, Ok(4410));
    world.finish().await;
}
