//! Servers go away and come back.

use serde_json::json;

use crate::limits::left;
use crate::world::{Device, Person, Wire, World, assert_linked, eventually, key};

#[tokio::test]
async fn nats_is_killed_and_comes_back() {
    let mut world = World::empty(1).await;
    let limits = [("VERBATIM_LIMIT_START", "20/20000:20"), ("VERBATIM_LIMIT_MEMBERS", "200/200000:200")];
    world.add_node_with("api,gateway,projector", &limits).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    ana.says(&lunch, "before").await;
    device.sees("before").await;

    world.nats.kill9();
    device.waits_for("degraded", |frame| frame["op"] == "error" && frame["code"] == "degraded").await;
    let retried = key();
    let dinner = json!({ "kind": "group", "title": "Dinner", "members": [ben.id] });
    let (refused, not_started) =
        tokio::join!(ana.sends(&lunch, &retried, "meanwhile"), ana.post("/v1/conversations", dinner));
    assert_eq!((left(&not_started, "start"), left(&not_started, "members")), (19, 199), "it costs nothing");
    not_started.refuses(503, "unavailable");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.refuses(503, "unavailable");
    // A node that hears nothing from the log no longer knows the members.
    ana.get(&format!("/v1/conversations/{}/messages", lunch.id)).await.refuses(503, "unavailable");
    assert_eq!(device.is_closed_with().await, 4411);
    let cursor = device.cursor();

    world.nats.start_again().await.expect("nats-server starts again");
    eventually("sends go on unaided", || async {
        ana.sends(&lunch, &retried, "meanwhile").await.status == 201
    })
    .await;
    let mut device = comes_back(&ben, &cursor).await;
    ana.says(&lunch, "after").await;
    device.sees("meanwhile").await;
    let after = device.sees("after").await["position"].as_u64().expect("position");
    assert_linked(&device.chain(&lunch));
    assert_eq!(ana.history(&lunch, after).await, ["before", "meanwhile", "after"]);
    let _ = ben.connects().await;
    world.finish().await;
}

#[tokio::test]
async fn postgres_is_not_needed_to_talk() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    world
        .database
        .is_gone_for(async {
            ana.says(&lunch, "no database").await;
            device.sees("no database").await;
            ana.get("/v1/me").await.refuses(503, "unavailable");
        })
        .await;
    let last = ana.says(&lunch, "with it again").await["position"].as_u64().expect("position");
    eventually("the view has caught up", || async {
        ana.get(&format!("/v1/conversations/{}?min_position={last}", lunch.id)).await.status == 200
    })
    .await;
    assert_eq!(ana.history(&lunch, last).await, ["no database", "with it again"]);
    world.finish().await;
}

/// The state in the memory of a nats-server is lost with it: the stream of presence changes, and the presence board.
#[tokio::test]
async fn presence_comes_back_after_nats_has_forgotten_it() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_PRESENCE_GRACE", "1")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ana.connects().await;
    world.nats.kill9();
    world.nats.start_again().await.expect("nats-server starts again");
    let of_ben = format!("/v1/users/{}/presence", ben.id);
    let bens = ben.connects().await;
    eventually("ben is here", || async { ana.get(&of_ben).await.expect(200)["status"] == "online" }).await;
    device.waits_for("news of ben", |f| f["op"] == "presence" && f["status"] == "online").await;
    bens.leaves().await;
    device.waits_for("more news of ben", |f| f["op"] == "presence" && f["status"] == "offline").await;

    // A stop of everything, as of dev mode: the node has to store when the users were last here. Cleo never left before.
    let cleo = world.person("cleo").await;
    ana.starts_group("Dinner", &[&cleo]).await;
    let of_cleo = format!("/v1/users/{}/presence", cleo.id);
    let _cleos = cleo.connects().await;
    eventually("cleo is here", || async { ana.get(&of_cleo).await.expect(200)["status"] == "online" }).await;
    world.nodes[0].stop().await;
    world.nats.kill9();
    world.nats.start_again().await.expect("nats-server starts again");
    world.add_node("api,gateway,projector").await;
    let presence = ana.at(world.nodes[1].address).get(&of_cleo).await.expect(200);
    assert!(presence["status"] == "offline" && presence["last_seen_at"].is_string(), "{presence}");
    world.finish().await;
}

#[tokio::test]
async fn a_message_that_is_larger_than_nats_takes_is_refused_at_once() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut device = ana.connects().await;
    world.nats.kill9();
    world.nats.options().max_payload = Some(8 * 1024);
    world.nats.start_again().await.expect("nats-server starts again");
    eventually("sends go on unaided", || async { ana.sends(&notes, &key(), "small").await.status == 201 })
        .await;

    let long = "x".repeat(9 * 1024);
    ana.sends(&notes, &key(), &long).await.refuses(413, "too_large");
    let text =
        json!({"op": "send", "id": "7", "conversation_id": notes.id, "client_id": key(), "text": long});
    device.tells(text).await;
    let refused = device.waits_for("a refusal", |frame| frame["id"] == "7").await;
    assert!(refused["code"] == "too_large" && refused["retry_after_ms"].is_null(), "{refused}");
    ana.says(&notes, "small again").await;
    assert_eq!(world.nodes[0].metric("verbatim_events_too_large_total").await, 2);
    world.nats.options().max_payload = None;
    world.nats.start_again().await.expect("nats-server starts again");
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_the_log_lets_nobody_in() {
    let mut world = World::start().await;
    let way = world.add_node_behind_a_way("api,gateway").await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let (there, cleo_there) = (ben.at(world.nodes[1].address), cleo.at(world.nodes[1].address));
    let mut device = there.connects().await;
    let history = format!("/v1/conversations/{}/messages", lunch.id);
    let begin = there.get("/v1/events").await.expect(200)["next_cursor"].as_str().expect("cursor").to_owned();
    let waits = tokio::spawn({
        let (there, path) = (there.clone(), format!("/v1/events?wait=60&after={begin}"));
        async move { there.get(&path).await }
    });
    eventually("it waits", || async { world.nodes[1].metric("verbatim_events_followed").await == 1 }).await;

    let phone = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let mut of_phone = phone.connects().await;

    way.block();
    // Nobody hears of a revocation at the node that is cut off. The others find it in the database.
    phone.at(there.address).delete("/v1/logins/current").await.expect(204);
    assert_eq!(of_phone.is_closed_with().await, 4503);
    phone.get("/v1/me").await.refuses(401, "login_revoked");
    ana.removes(&lunch, &ben).await.expect(204);
    cleo.delete("/v1/logins/current").await.expect(204);
    let secret = ana.says(&lunch, "not for ben").await["position"].as_u64().expect("position");
    ana.history(&lunch, secret).await;
    assert_eq!(device.is_closed_with().await, 4411);
    assert!(device.seen.iter().all(|frame| frame["op"] != "event"), "{:#?}", device.seen);
    let refused = there.get(&history).await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.refuses(503, "unavailable");
    there.sends(&lunch, &key(), "by somebody who was removed").await.refuses(503, "unavailable");
    there.get(&format!("/v1/users/{}/presence", ana.id)).await.refuses(503, "unavailable");
    there.get("/v1/events?wait=1").await.refuses(503, "unavailable");
    waits.await.expect("no panic").refuses(503, "unavailable");
    for hello in [json!({ "op": "hello" }), json!({ "op": "hello", "cursor": device.cursor() })] {
        let mut refused = Device::says_hello(there.address, &there.token, hello).await;
        assert_eq!(refused.is_closed_with().await, 4411);
        assert_eq!(refused.seen.len(), 1, "nobody is told to be ready: {:#?}", refused.seen);
    }
    eventually("the revoked login is refused", || async {
        let answer = cleo_there.get("/v1/me").await;
        answer.status == 401 && answer.body["code"] == "login_revoked"
    })
    .await;

    way.clear();
    eventually("ben is known to be removed", || async { there.get(&history).await.status == 404 }).await;
    let mut device = comes_back(&there, &device.cursor()).await;
    device.gets("caught_up").await;
    let told: Vec<_> = device.seen.iter().filter(|frame| frame["op"] == "event").collect();
    assert!(told.len() == 1 && told[0]["type"] == "member.removed", "{told:#?}");
    world.finish().await;
}

/// Resumes as soon as the node accepts sockets again.
#[tokio::test]
async fn what_a_node_could_not_store_in_time_is_never_stored() {
    let mut world = World::start().await;
    let (to_nats, nats) = Wire::to(world.nats.url()).await;
    world.add_node_with("api,gateway", &[("VERBATIM_NATS_URL", &*nats)]).await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let there = ana.at(world.nodes[1].address);
    there.says(&notes, "before").await;

    to_nats.cut();
    eventually("the node has noticed", || async {
        world.nodes[1].readiness().await.1["parts"]["log"]["code"] == "not_connected"
    })
    .await;
    // The node still believes its roster, and tries until its deadline.
    there.sends(&notes, &key(), "too late").await.refuses(503, "unavailable");
    to_nats.mend();
    eventually("sends go on", || async { there.sends(&notes, &key(), "after").await.status == 201 }).await;
    let last = ana.says(&notes, "last").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["before", "after", "last"]);
    world.finish().await;
}

async fn comes_back(who: &Person, cursor: &str) -> Device {
    loop {
        let hello = json!({ "op": "hello", "cursor": cursor });
        let mut device = Device::says_hello(who.address, &who.token, hello).await;
        if device.waits_for("an answer", |frame| frame["op"] == "ready" || frame["op"] == "closed").await["op"]
            == "ready"
        {
            return device;
        }
    }
}
