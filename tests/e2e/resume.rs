//! People who were away miss nothing.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{Conversation, Person, World, assert_linked, eventually, key, open, position, stays};

#[tokio::test]
async fn whoever_was_away_gets_every_event_once_and_in_order() {
    for streams in [1, 4] {
        let world = World::with_streams(streams).await;
        let (ana, ben) = (world.person("ana").await, world.person("ben").await);
        let lunch = ana.starts_group("Lunch", &[&ben]).await;
        let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
        let before = ben.connects().await;
        let cursor = before.cursor();
        before.leaves().await;

        for n in 0..700 {
            let to = if n % 7 == 0 { &talk } else { &lunch };
            ana.says(to, &format!("message {n}")).await;
        }
        let head = position(&ana.says(&lunch, "the last one").await);
        ana.reads(&lunch, head).await.expect(204);
        let work = ana.starts_group("Work", &[&ben]).await;
        ana.says(&work, "new here").await;

        let mut after = ben.resumes(&cursor).await;
        assert_eq!(after.ready["cursor"], cursor.as_str(), "an interrupted resume begins again");
        after.gets("caught_up").await;
        for (conversation, events) in [(&lunch, 602), (&talk, 100), (&work, 2)] {
            let chain = after.chain(conversation);
            assert_linked(&chain);
            assert_eq!(chain.len(), events);
        }
        assert_eq!(after.chain(&lunch)[0].1, lunch.position);
        assert_eq!(after.chain(&work)[0].1, 0);

        ana.says(&lunch, "live again").await;
        after.sees("live again").await;
        assert_linked(&after.chain(&lunch));
        let again = after.cursor();
        let mut nothing = ben.resumes(&again).await;
        nothing.gets("caught_up").await;
        assert!(nothing.chain(&lunch).len() <= 1, "only what came after the cursor");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_resume_amid_traffic_has_no_hole_and_no_repeat() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let first = ben.connects().await;
    let cursor = first.cursor();
    first.leaves().await;
    let talker = tokio::spawn({
        let (ana, lunch) = (ana.clone(), lunch.clone());
        async move {
            for n in 0..100 {
                let says = (0..10).map(|m| {
                    let (ana, lunch, text) = (ana.clone(), lunch.clone(), format!("{n} {m}"));
                    async move { ana.says(&lunch, &text).await }
                });
                futures_util::future::join_all(says).await;
            }
            ana.says(&lunch, "enough").await
        }
    });
    let mut devices = Vec::new();
    while !talker.is_finished() && devices.len() < 15 {
        let mut device = ben.resumes(&cursor).await;
        device.gets("caught_up").await;
        devices.push(device);
    }
    talker.await.expect("the talker");
    for device in &mut devices {
        device.sees("enough").await;
        let chain = device.chain(&lunch);
        assert_linked(&chain);
        assert_eq!((chain.len(), chain[0].1), (1001, lunch.position));
    }
    world.finish().await;
}

#[tokio::test]
async fn only_the_time_of_membership_is_told() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let device = ben.connects().await;
    let cursor = device.cursor();
    device.leaves().await;
    ana.says(&lunch, "still here").await;
    ana.removes(&lunch, &ben).await.expect(204);
    ana.says(&lunch, "secret").await;
    ana.invites(&lunch, &ben).await.expect(201);
    ana.says(&lunch, "back again").await;
    ana.removes(&lunch, &ben).await.expect(204);
    ana.says(&lunch, "secret too").await;

    let mut back = ben.resumes(&cursor).await;
    back.gets("caught_up").await;
    let told: Vec<&str> = back
        .seen
        .iter()
        .filter(|frame| frame["op"] == "event")
        .map(|frame| frame["data"]["text"].as_str().or(frame["type"].as_str()).expect("text or type"))
        .collect();
    assert_eq!(told, ["still here", "member.removed", "member.added", "back again", "member.removed"]);
    world.finish().await;
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_is_told_so() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let of_ana = ana.connects().await.cursor();
    for (cursor, reason) in [(of_ana.as_str(), "cursor_of_another_user"), ("nonsense", "cursor_unreadable")] {
        let mut device = ben.resumes(cursor).await;
        assert_eq!(device.gets("reset").await["reason"], reason);
        ana.says(&lunch, reason).await;
        device.sees(reason).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_cursor_outlives_the_gateway_that_gave_it() {
    let mut world = World::empty(1).await;
    world.add_node("api,projector").await;
    world.add_node("gateway").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let device = ben.at(world.nodes[1].address).connects().await;
    let cursor = device.cursor();
    world.nodes[1].kill9().await;
    world.nodes.pop();
    ana.says(&lunch, "nobody listens").await;
    world.add_node("gateway").await;
    let mut back = ben.at(world.nodes[1].address).resumes(&cursor).await;
    back.sees("nobody listens").await;
    back.gets("caught_up").await;
    world.finish().await;
}

#[tokio::test]
async fn a_heartbeat_tells_a_lost_last_event() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_HEARTBEAT", "1")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    assert_eq!(device.ready["heartbeat_ms"], 1000);
    let said = position(&ana.says(&lunch, "hello").await);
    let told = |frame: &Value| frame["op"] == "heartbeat" && frame["heads"][&lunch.id] == said;
    let heartbeat = device.waits_for("a heartbeat with the head", told).await;
    let cursor = heartbeat["cursor"].as_str().expect("cursor").to_owned();
    device
        .tells(json!({ "op": "send", "conversation_id": lunch.id, "client_id": key(), "text": "more" }))
        .await;
    device.sees("more").await;
    let mut back = ben.resumes(&cursor).await;
    back.gets("caught_up").await;
    assert_eq!(back.chain(&lunch).len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_slow_reader_costs_itself_only_and_its_cursor_stays_good() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_LIMIT_FRAMES", "1200/10:600")]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let cursor = ben.connects().await.cursor();
    let mut slow = open(ben.address, Some(&ben.token)).await.expect("a socket");
    slow.send(Message::Text(r#"{"op":"hello"}"#.into())).await.expect("hello");
    let mut quick = ben.connects().await;

    let long = "x".repeat(16 * 1024);
    let mut sent = 0;
    let closed = loop {
        let texts = (0..20).map(|n| format!("{sent} {n} {}", &long[..15_000]));
        let says: Vec<_> = texts
            .map(|text| {
                let (ana, lunch) = (ana.clone(), lunch.clone());
                async move { ana.says(&lunch, &text).await }
            })
            .collect();
        sent += futures_util::future::join_all(says).await.len();
        assert!(sent < 4_000, "the slow reader is never closed");
        if world.nodes[0].metric("verbatim_slow_consumers_total").await > 0 {
            break loop {
                match slow.next().await.expect("a close frame").expect("a frame") {
                    Message::Close(frame) => break frame.expect("a reason"),
                    _ => continue,
                }
            };
        }
    };
    assert_eq!(u16::from(closed.code), 4409);
    assert!(closed.reason.starts_with("slow_consumer;retry_after_ms="), "{}", closed.reason);

    ana.says(&lunch, "the end").await;
    quick.sees("the end").await;
    assert_linked(&quick.chain(&lunch));
    assert_eq!(quick.chain(&lunch).len(), sent + 1);
    let mut back = ben.resumes(&cursor).await;
    back.gets("caught_up").await;
    assert_eq!(back.chain(&lunch), quick.chain(&lunch));

    // While a client does not read what it has missed, its session hears it and can be ended, however much it says.
    let node = &world.nodes[0];
    let beginning = async || node.metric(r#"verbatim_socket_states{state="beginning"}"#).await;
    let closed = async |label: &str| {
        let name = format!("verbatim_socket_closes_total{{{label}}}");
        node.metrics().await.lines().any(|line| line.strip_prefix(&*name) == Some(" 1"))
    };
    let logs_in = async || Person::logs_in(ben.address, &ben.name, &ben.id).await;
    let (phone, tablet) = (logs_in().await, logs_in().await);
    let resumes = async |token: &str| {
        let mut socket = open(ben.address, Some(token)).await.expect("a socket");
        let hello = json!({ "op": "hello", "cursor": cursor }).to_string();
        socket.send(Message::Text(hello.into())).await.expect("hello");
        eventually("the resume has begun", || async { beginning().await == 1 }).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(beginning().await, 1, "the client would have to read");
        for n in 0..72 {
            let ping = json!({ "op": "ping", "id": format!("early {n}") }).to_string();
            socket.send(Message::Text(ping.into())).await.expect("a frame that waits or is refused");
        }
        socket
    };
    let mut left = resumes(&ben.token).await;
    left.send(Message::Close(None)).await.expect("a close frame");
    eventually("the close was heard", || async { closed(r#"code="1000",reason="bye""#).await }).await;
    drop(left);
    eventually("the session has ended", || async { beginning().await == 0 }).await;

    let mut ended = resumes(&phone.token).await;
    let renews = json!({ "op": "authenticate", "token": tablet.token }).to_string();
    ended.send(Message::Text(renews.into())).await.expect("a fresh proof");
    phone.delete("/v1/logins/current").await.expect(204);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(beginning().await, 1, "it has the login of the tablet by now");
    tablet.delete("/v1/logins/current").await.expect(204);
    let began = Instant::now();
    eventually("the login has ended", || async { closed(r#"code="4503",reason="login_revoked""#).await })
        .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(ended);

    // Once the client reads, it finds out what its session did not keep.
    let mut patient = resumes(&logs_in().await.token).await;
    let (mut kept, mut refused) = (0, 0);
    while kept < 64 {
        let Message::Text(text) = patient.next().await.expect("more").expect("a frame") else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        kept += usize::from(frame["op"] == "pong");
        refused += usize::from(frame["code"] == "temporary_reduced_capacity");
    }
    assert_eq!(refused, 8);
    drop(patient);
    world.finish().await;
}

/// Postgres counts the queries of the views. The counts are exact once the connections of the gateway are closed.
#[tokio::test]
async fn a_short_resume_asks_the_views_once_and_a_long_one_twice() {
    let mut world = World::empty(1).await;
    world.add_node("api,projector").await;
    world.add_node("gateway").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let at_gateway = ben.at(world.nodes[1].address);
    // Lagging views would be queried again, so the story waits for them first.
    let says = async |count: usize| {
        for n in 1..count {
            ana.says(&lunch, &format!("message {n} of {count}")).await;
        }
        let last = position(&ana.says(&lunch, "the last one").await);
        ben.get(&format!("/v1/conversations/{}?min_position={last}", lunch.id)).await.expect(200);
    };
    says(1).await;
    let first = at_gateway.connects().await;
    let (mut cursor, mut asked) = (first.cursor(), 1);
    first.leaves().await;
    for (times, count, asks) in [(10, 3, 1), (1, 250, 2)] {
        for _ in 0..times {
            says(count).await;
            let mut back = at_gateway.resumes(&cursor).await;
            back.gets("caught_up").await;
            assert_eq!(back.chain(&lunch).len(), count);
            (cursor, asked) = (back.cursor(), asked + asks);
            back.leaves().await;
        }
    }
    let _open = at_gateway.connects().await;
    says(3).await;
    let mut beside = at_gateway.resumes(&cursor).await;
    beside.gets("caught_up").await;
    assert_eq!(beside.chain(&lunch).len(), 3);
    asked += 2;

    world.nodes[1].kill9().await;
    world.nodes.pop();
    let database = &world.database;
    let scans = "select (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::bigint
                 from pg_stat_user_tables where relname = 'past_member'";
    // One statement scans the table once, because no conversation has a retention.
    eventually("Postgres has counted", || async { database.finds::<i64>(scans).await >= asked }).await;
    let is_all = async || database.finds::<i64>(scans).await == asked;
    stays("once each, and twice for the long one", Duration::from_millis(500), is_all).await;
    world.finish().await;
}
