//! No request hangs: while a server is frozen, every request is answered within its deadline, and clients are told
//! to retry.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Conversation, PASSWORD, Person, World, key};

/// The deadline of a request, plus a margin for a busy machine.
const IN_TIME: Duration = Duration::from_secs(18);

/// One of each kind of request.
fn requests(of: &Conversation, ben: &Person) -> Vec<(Method, String, Option<Value>)> {
    let at = format!("/v1/conversations/{}", of.id);
    let get = |path: String| (Method::GET, path, None);
    vec![
        get("/v1/me".into()),
        get("/v1/logins".into()),
        get("/v1/conversations".into()),
        get(at.clone()),
        get(format!("{at}/members")),
        get(format!("{at}/messages")),
        get(format!("{at}/messages?min_position=1000000")),
        get(format!("{at}/messages?as_of={}", of.position)),
        get(format!("{at}/receipts")),
        get("/v1/messages?query=before".into()),
        get("/v1/events".into()),
        get("/v1/events?wait=1".into()),
        get(format!("/v1/users/{}/presence", ben.id)),
        (Method::POST, "/v1/accounts".into(), Some(json!({ "username": "carla.c", "password": PASSWORD }))),
        (Method::POST, "/v1/logins".into(), Some(json!({ "username": ben.name, "password": PASSWORD }))),
        (Method::POST, "/v1/logins/refresh".into(), Some(json!({ "refresh_token": ben.refresh_token }))),
        (
            Method::POST,
            "/v1/conversations".into(),
            Some(json!({ "kind": "group", "title": "T", "members": [] })),
        ),
        (Method::POST, format!("{at}/messages"), Some(json!({ "client_id": key(), "text": "meanwhile" }))),
        (Method::PATCH, at.clone(), Some(json!({ "title": "Another" }))),
        (Method::PUT, format!("{at}/receipt"), Some(json!({ "read": of.position }))),
        (Method::DELETE, format!("{at}/members/{}", ben.id), None),
    ]
}

/// Sends all requests at once, over REST and a socket.
async fn all_is_answered(ana: &Person, ben: &Person, of: &Conversation, device: &mut crate::world::Device) {
    let tried = requests(of, ben).into_iter().map(|(method, path, body)| async move {
        let begun = Instant::now();
        let answer = ana.send(method.clone(), &path, body).await;
        let took = begun.elapsed();
        assert!(took < IN_TIME, "{method} {path} took {took:?}");
        if answer.status == 503 {
            assert!(answer.headers.contains_key("retry-after"), "{method} {path}: {answer:?}");
        } else {
            assert!(!answer.status.is_server_error(), "{method} {path}: {answer:?}");
        }
        eprintln!("{} after {took:?}: {method} {path} {}", answer.status, answer.body["code"]);
        usize::from(answer.status == 503)
    });
    let socket = async {
        let (id, begun) = (key(), Instant::now());
        let frame =
            json!({ "op": "send", "id": id, "conversation_id": of.id, "client_id": id, "text": "meanwhile" });
        device.tells(frame).await;
        // A node that does not hear from the log closes its sockets.
        let is_it = |frame: &Value| frame["id"] == id.as_str() || frame["op"] == "closed";
        let answer = device.waits_for("an answer", is_it).await;
        assert!(begun.elapsed() < IN_TIME, "a frame took {:?}", begun.elapsed());
        assert!(
            answer["op"] == "ack" || answer["code"] == "unavailable" || answer["code"] == 4411,
            "{answer}"
        );
    };
    let (refused, ()) = tokio::join!(join_all(tried), socket);
    assert!(refused.into_iter().sum::<usize>() > 0, "nothing was stopped");
}

#[tokio::test]
async fn nothing_hangs_while_nats_does() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    ana.says(&lunch, "before").await;
    let mut device = ana.connects().await;
    world.nats.freeze();
    all_is_answered(&ana, &ben, &lunch, &mut device).await;
    world.nats.thaw();
    world.nodes[0].is_ready().await;
    world.finish().await;
}

#[tokio::test]
async fn nothing_hangs_while_postgres_does() {
    let mut world = World::with_its_own_postgres().await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    ana.says(&lunch, "before").await;
    let mut device = ana.connects().await;
    world.database.server().freeze(true);
    all_is_answered(&ana, &ben, &lunch, &mut device).await;
    world.database.server().freeze(false);
    world.nodes[0].is_ready().await;
    world.finish().await;
}
