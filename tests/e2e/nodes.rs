//! Several nodes behave as one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use verbatim::{app::AppError, clock::Clock, dev::NatsUser};

use crate::world::{
    Backbone as _, Inside, PATIENCE, Person, World, alerts::is_firing, assert_linked, eventually, key, signal,
};

#[tokio::test]
async fn sockets_on_different_nodes_see_one_chain_and_roles_may_be_apart() {
    let mut world = World::empty(4).await;
    world.add_node("api").await;
    world.add_node("gateway").await;
    world.add_node("gateway,projector").await;
    world.add_node("projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut one = ana.at(world.nodes[1].address).connects().await;
    let mut other = ben.at(world.nodes[2].address).connects().await;
    for n in 0..10 {
        one.says(&lunch, &format!("a{n}")).await;
        other.says(&lunch, &format!("b{n}")).await;
    }
    one.sees("b9").await;
    other.sees("b9").await;
    assert_eq!(one.chain(&lunch), other.chain(&lunch));
    assert_linked(&one.chain(&lunch));
    world.finish().await;
}

/// The number of hubs: only a hub reads the stream of presence changes.
async fn hubs(world: &World) -> usize {
    let jetstream = jetstream::new(world.nats.client(NatsUser::Verbatim).await);
    let stream = jetstream.get_stream("PRESENCE").await.expect("stream");
    let names: Vec<String> = stream.consumer_names().try_collect().await.expect("names");
    names.len()
}

#[tokio::test]
async fn a_node_without_the_gateway_role_has_no_hub_and_is_told_everything() {
    let mut world = World::empty(4).await;
    world.add_node("api").await;
    world.add_node("api,projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let ben_there = ben.at(world.nodes[1].address);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let begin = ben.get("/v1/events").await.expect(200);
    let waiting =
        |at: &Value| format!("/v1/events?wait=60&after={}", at["next_cursor"].as_str().expect("cursor"));

    // A message sent at this node wakes a user who waits at the other one, and a retry finds the message.
    let (path, client_id) = (waiting(&begin), key());
    let (page, sent) = tokio::join!(ben_there.get(&path), ana.sends(&lunch, &client_id, "pizza?"));
    let (page, sent) = (page.expect(200), sent.expect(201));
    assert_eq!(page["items"][0]["data"]["text"], "pizza?");
    assert_eq!(ana.sends(&lunch, &client_id, "pizza?").await.expect(201)["position"], sent["position"]);
    ana.sends(&lunch, &client_id, "pasta?").await.refuses(409, "idempotency_mismatch");

    // A receipt at the other node wakes a user who waits at this one, and is not delivered twice.
    let position = sent["position"].as_u64().expect("position");
    let here = ana.get("/v1/events").await.expect(200);
    let path = waiting(&here);
    let (page, read) = tokio::join!(ana.get(&path), ben_there.reads(&lunch, position));
    read.expect(204);
    let page = page.expect(200);
    assert_eq!(page["items"][0]["data"]["read"], position);
    ben.reads(&lunch, position).await.expect(204);
    assert_eq!(ana.get(&waiting(&page).replace("wait=60&", "")).await.expect(200)["items"], json!([]));

    // A node without a hub receives signals too: about blocks, and about logins that are revoked while their users
    // wait.
    let direct = ana.starts_direct(&ben).await.expect(201);
    let direct = format!("/v1/conversations/{}/messages", direct["id"].as_str().expect("id"));
    let says = async || ana.post(&direct, json!({ "client_id": key(), "text": "are you there?" })).await;
    says().await.expect(201);
    ben_there.put(&format!("/v1/me/blocks/{}", ana.id), json!({})).await.expect(204);
    eventually("the other node has heard of the block", || async { says().await.status == 403 }).await;
    let path = waiting(&ben.get("/v1/events").await.expect(200));
    let revokes = async {
        eventually("the login waits", || async {
            world.nodes[0].metric("verbatim_events_followed").await == 1
        })
        .await;
        ben_there.delete("/v1/logins/current").await.expect(204);
    };
    let (cut, ()) = tokio::join!(ben.get(&path), revokes);
    cut.refuses(401, "login_revoked");
    ben.get("/v1/me").await.refuses(401, "login_revoked");

    assert_eq!(ana.get("/v1/ws").await.status, 404);
    assert_eq!(hubs(&world).await, 0);
    world.add_node("gateway").await;
    eventually("the gateway has a hub", || async { hubs(&world).await == 1 }).await;
    world.finish().await;
}

#[tokio::test]
async fn when_a_projector_dies_another_goes_on() {
    let mut world = World::empty(1).await;
    world.add_node("projector").await;
    world.add_node("api,gateway,projector").await;
    let ana = world.person_at(1, "ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "one").await;
    world.nodes[0].kill9().await;
    let last = ana.says(&notes, "two").await["position"].as_u64().expect("position");
    eventually("the other projector has taken over", || async {
        ana.get(&format!("/v1/conversations/{}?min_position={last}", notes.id)).await.status == 200
    })
    .await;
    assert_eq!(ana.history(&notes, last).await, ["one", "two"]);
    world.nodes.remove(0);
    world.finish().await;
}

#[tokio::test]
async fn a_login_revoked_at_one_node_is_cut_at_all() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let ana = world.person("ana").await;
    let elsewhere = ana.at(world.nodes[1].address);
    let (mut here, mut there) = (ana.connects().await, elsewhere.connects().await);
    // A socket that goes on with the token of another login of its user belongs to that login from then on.
    let phone = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let mut renewed = [ana.connects().await, elsewhere.connects().await];
    let renews = json!({ "op": "authenticate", "id": "renews", "token": phone.token });
    for device in &mut renewed {
        device.tells(renews.clone()).await;
        device.waits_for("an acknowledgement", |frame| frame["op"] == "ack" && frame["id"] == "renews").await;
    }
    let mut stranger = world.person("ben").await.connects().await;
    stranger.tells(renews).await;
    assert_eq!(stranger.is_closed_with().await, 4501);

    ana.delete("/v1/logins/current").await.expect(204);
    assert_eq!(here.is_closed_with().await, 4503);
    assert_eq!(there.is_closed_with().await, 4503);
    elsewhere.get("/v1/me").await.refuses(401, "login_revoked");
    ana.get("/v1/me").await.refuses(401, "login_revoked");
    ana.delete("/v1/logins/current").await.expect(204);
    for device in &mut renewed {
        device.tells(json!({ "op": "ping", "id": "still here" })).await;
        device.gets("pong").await;
    }
    phone.delete("/v1/logins/current").await.expect(204);
    for device in &mut renewed {
        assert_eq!(device.is_closed_with().await, 4503);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_stopping_node_finishes_what_it_does_and_sends_its_sockets_elsewhere() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let elsewhere = ana.at(world.nodes[1].address);
    let (mut stays, mut goes) = (ana.connects().await, elsewhere.connects().await);
    let cursor = goes.cursor();
    let body = json!({ "client_id": key(), "text": "in flight" }).to_string();
    let mut request = TcpStream::connect(elsewhere.address).await.expect("connection");
    let head = format!(
        "POST /v1/conversations/{}/messages HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        notes.id,
        ana.token,
        body.len()
    );
    request.write_all(head.as_bytes()).await.expect("write");
    let mut answer = vec![0; 1024];
    let read = request.read(&mut answer).await.expect("the node asks for the body");
    assert!(answer[..read].starts_with(b"HTTP/1.1 100"));
    signal(world.nodes[1].pid(), "TERM").await;
    let closed = goes.gets("closed").await;
    assert_eq!(closed["code"], 1012);
    assert!(closed["reason"].as_str().expect("reason").starts_with("drain;retry_after_ms="));
    request.write_all(body.as_bytes()).await.expect("write");
    answer.clear();
    request.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer));
    world.nodes[1].stop().await;
    world.nodes.pop();

    stays.sees("in flight").await;
    let mut back = ana.resumes(&cursor).await;
    back.gets("caught_up").await;
    ana.says(&notes, "after").await;
    back.sees("after").await;
    assert_linked(&back.chain(&notes));
    world.finish().await;
}

#[tokio::test]
async fn whoever_writes_at_another_node_at_once_hears_of_it_there() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let there = ben.at(world.nodes[1].address);
    let mut device = there.connects().await;
    for n in 0..50 {
        let group = ana.starts_group(&format!("Group {n}"), &[&ben]).await;
        there.says(&group, &format!("hello {n}")).await;
        device.sees(&format!("hello {n}")).await;
        assert_eq!(device.chain(&group).len(), 2, "the node has read ahead of its follower");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_node_with_a_dead_task_says_so_and_stops_in_order() {
    let world = World::empty(1).await;
    let node = Inside::start(&world, Clock::system()).await;
    let ana = Person::registers(node.at.public, "ana.a").await;
    let mut device = ana.connects().await;
    assert_eq!(node.readiness().await.0, 200);

    node.tasks.spawn("task of a story", async { panic!("as this story wants it") });
    eventually("the node is not ready", || async { node.readiness().await.0 == 503 }).await;
    let trouble = node.readiness().await.1["trouble"].as_str().expect("a trouble").to_owned();
    assert!(trouble.contains("task of a story"), "{trouble}");
    assert!(is_firing("VerbatimTaskFailed", &node.metrics().await, ""));
    assert_eq!(device.is_closed_with().await, 1012);
    let ended = timeout(PATIENCE, node.ended).await.expect("the node stops").expect("no panic");
    assert!(matches!(ended, Err(AppError::Task("task of a story"))), "{ended:?}");
    assert!(TcpStream::connect(node.at.public).await.is_err(), "nobody listens any more");

    // Prometheus has hardly seen the process, so the process that is started next tells, too.
    let mut world = world;
    world.add_node("api,gateway").await;
    world.nodes[0].fires("VerbatimTaskFailed").await;
    world.database.does("update auth.node set failed_at = failed_at - interval '16 minutes'").await;
    world.nodes[0].is_calm("VerbatimTaskFailed").await;
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_node_that_is_told_to_stop_says_so_before_it_closes_its_port() {
    let mut world = World::start().await;
    let delay = [("VERBATIM_DRAIN_DELAY", "10")];
    let address = world.add_node_with("api,gateway", &delay).await.address;
    let ana = world.person("ana").await.at(address);
    assert_eq!(world.nodes[1].readiness().await.0, 200);
    let told = Instant::now();
    signal(world.nodes[1].pid(), "TERM").await;
    eventually("it is not ready", || async { world.nodes[1].readiness().await.0 == 503 }).await;
    let trouble = world.nodes[1].readiness().await.1["trouble"].to_string();
    assert!(trouble.contains("stopping"), "{trouble}");
    // A load balancer that has not polled yet loses no request.
    assert!(told.elapsed() < Duration::from_secs(9), "the story itself was too slow");
    ana.get("/v1/me").await.expect(200);
    eventually("the port is closed", || async { TcpStream::connect(address).await.is_err() }).await;
    assert!(told.elapsed() >= Duration::from_secs(10));
    world.nodes[1].stop().await;
    world.finish().await;
}

#[tokio::test]
async fn a_node_serves_nobody_before_it_knows_whose_logins_were_revoked() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    ana.delete("/v1/logins/current").await.expect(204);
    let mut holder = PgConnection::connect(&world.database.url).await.expect("connection");
    let mut locked = holder.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table auth.login in access exclusive mode")
        .execute(&mut *locked)
        .await
        .expect("the lock");
    let begun = world.begins_node("api,gateway", &[]).await;
    eventually("it says what it waits for", || async {
        let (status, body) = begun.readiness().await;
        status == 503 && body["trouble"].as_str().is_some_and(|trouble| trouble.contains("revoked logins"))
    })
    .await;
    locked.rollback().await.expect("the lock is free");
    let node = begun.serves().await;
    ana.at(node.address).get("/v1/me").await.refuses(401, "login_revoked");
    world.nodes.push(node);
    world.finish().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_and_back_forgets_no_revocation() {
    let world = World::empty(1).await;
    let ahead = Arc::<AtomicI64>::default();
    let seconds = ahead.clone();
    let clock = Clock::new(move || {
        OffsetDateTime::now_utc() + time::Duration::seconds(seconds.load(Ordering::Relaxed))
    });
    let node = Inside::start(&world, clock).await;
    let ana = Person::registers(node.at.public, "ana.a").await;
    ana.delete("/v1/logins/current").await.expect(204);
    ana.get("/v1/me").await.refuses(401, "login_revoked");
    ahead.store(3_600, Ordering::Relaxed);
    let again = Person::logs_in(node.at.public, &ana.name, &ana.id).await;
    again.delete("/v1/logins/current").await.expect(204);
    ahead.store(0, Ordering::Relaxed);
    ana.get("/v1/me").await.refuses(401, "login_revoked");
    node.stops().await;
    world.finish_without_views().await;
}
