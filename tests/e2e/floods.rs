//! A hostile client harms only itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use verbatim::dev::NatsUser;

use crate::{
    flood::Flood,
    world::{Backbone as _, Person, World, eventually},
};

/// An answer that takes longer counts as missing, even on the slowest machine.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_its_sockets_starves_nobody_and_is_thrown_out() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ben = ben.connects().await;
    for flood in Flood::ALL {
        let eve = world.person("eve").await;
        let thrown_out = Arc::<AtomicUsize>::default();
        let address = eve.address;
        // At least as many connections as the node has threads.
        let mut pouring = JoinSet::new();
        for _ in 0..4 {
            let (noted, token) = (thrown_out.clone(), eve.token.clone());
            pouring.spawn(async move {
                loop {
                    if flood.pours(address, &token).await == Some(4408) {
                        noted.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        for number in 0..10 {
            let text = format!("{number} during {flood:?}");
            timeout(SOON, ana.says(&lunch, &text)).await.unwrap_or_else(|_| panic!("{text}: not sent"));
            timeout(SOON, of_ben.sees(&text)).await.unwrap_or_else(|_| panic!("{text}: not seen"));
            let lives = timeout(SOON, world.nodes[0].lives()).await;
            assert_eq!(lives, Ok(true), "{text}: the node does not say that it lives");
        }
        if flood != Flood::Requests {
            eventually(&format!("{flood:?} is closed with 4408"), || async {
                thrown_out.load(Ordering::Relaxed) > 0
            })
            .await;
        }
        pouring.shutdown().await;
    }
    world.finish().await;
}

#[tokio::test]
async fn people_who_leave_during_a_flood_of_presence_have_gone_for_all() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_PRESENCE_GRACE", "1")]).await;
    let (ana, eve) = (world.person("ana").await, world.person("eve").await);
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(world.person("ben").await);
    }
    let members: Vec<_> = others.iter().chain([&eve]).collect();
    ana.starts_group("Lunch", &members).await;
    let mut of_ana = ana.connects().await;
    let mut devices = Vec::new();
    for other in &others {
        devices.push(other.connects().await);
    }
    let mut of_eve = eve.connects().await;
    let is = async |other: &Person, status: &str| {
        let path = format!("/v1/users/{}/presence", other.id);
        eventually(&format!("{} is {status}", other.name), || async {
            ana.get(&path).await.expect(200)["status"] == status
        })
        .await;
    };
    for other in &members {
        is(other, "online").await;
    }
    for _ in 0..400 {
        of_eve.tells(json!({ "op": "presence", "status": "away" })).await;
        of_eve.tells(json!({ "op": "presence", "status": "online" })).await;
    }
    for device in devices {
        device.leaves().await;
    }
    for _ in 0..400 {
        of_eve.tells(json!({ "op": "presence", "status": "away" })).await;
        of_eve.tells(json!({ "op": "presence", "status": "online" })).await;
    }
    of_eve.leaves().await;
    for other in members {
        is(other, "offline").await;
        let is_told = |frame: &serde_json::Value| {
            frame["op"] == "presence" && frame["user_id"] == *other.id && frame["status"] == "offline"
        };
        if !of_ana.seen.iter().any(is_told) {
            of_ana.waits_for("the others are told", is_told).await;
        }
    }
    let about_eve = |frame: &&serde_json::Value| frame["op"] == "presence" && frame["user_id"] == *eve.id;
    let told = of_ana.seen.iter().filter(about_eve).count();
    assert!(told < 60, "{told} changes of one user were told");
    world.finish().await;
}

#[tokio::test]
async fn a_complaint_that_a_peer_can_cause_is_logged_once_a_second() {
    const COMPLAINT: &str = "could not read a signal; ignored it";
    let world = World::start().await;
    let client = world.nats.client(NatsUser::Verbatim).await;
    let began = Instant::now();
    for _ in 0..5_000 {
        client.publish("verbatim.login.revoked", "nonsense".into()).await.expect("told");
    }
    client.flush().await.expect("told");
    let logged = || world.nodes[0].lines_with(COMPLAINT);
    eventually("all are counted", || async {
        client.publish("verbatim.login.revoked", "nonsense".into()).await.expect("told");
        let left_out: u64 = logged().iter().filter_map(|line| line["left_out"].as_u64()).sum();
        left_out + logged().len() as u64 > 5_000
    })
    .await;
    let (lines, seconds) = (logged().len() as u64, began.elapsed().as_secs());
    assert!(lines <= seconds + 2, "{lines} lines in {seconds} s");
    world.finish().await;
}
