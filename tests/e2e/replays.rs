//! Replays of the log, by many clients and during faults, leave no consumers behind.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_nats::jetstream;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, future::join_all, stream};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use verbatim::{
    dev::NatsUser,
    log::{Log, Wanted},
    supervise::Supervisor,
};

use crate::world::{Backbone, Conversation, Person, World, assert_linked, eventually, key, open};

/// The number of consumers of the first stream that belong to replays.
async fn consumers(world: &World<impl Backbone>) -> usize {
    let jetstream = jetstream::new(world.nats.client(NatsUser::Verbatim).await);
    let stream = jetstream.get_stream("CHAT_0").await.expect("stream");
    let names: Vec<String> = stream.consumer_names().try_collect().await.expect("names");
    names.iter().filter(|name| name.starts_with("replay-")).count()
}

/// A cursor from before many messages, at a node that no longer has them in memory.
async fn long_ago(world: &mut World, ana: &Person, ben: &Person, messages: usize) -> (Conversation, String) {
    let lunch = ana.starts_group("Lunch", &[ben]).await;
    let cursor = ben.connects().await.cursor();
    for n in 0..messages {
        ana.says(&lunch, &format!("message {n}")).await;
    }
    world.nodes[0].stop().await;
    world.nodes.clear();
    world.add_node("api,gateway,projector").await;
    (lunch, cursor)
}

#[tokio::test]
async fn whoever_takes_a_page_and_goes_leaves_no_consumer() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, cursor) = long_ago(&mut world, &ana, &ben, 20).await;
    let ben = ben.at(world.nodes[0].address);
    let path = format!("/v1/events?after={cursor}&limit=1");
    for _ in 0..30 {
        let pages = join_all((0..4).map(|_| ben.get(&path))).await;
        for page in pages {
            assert_eq!(page.expect(200)["items"].as_array().expect("items").len(), 1);
        }
    }
    let left = consumers(&world).await;
    assert!(left < 20, "120 readers have left {left} consumers");

    // Some clients do not wait for the page.
    for n in 0..100 {
        let _ = timeout(Duration::from_millis(n % 10), ben.get(&path)).await;
        let mut socket = open(ben.address, Some(&ben.token)).await.expect("a socket");
        let hello = json!({ "op": "hello", "cursor": cursor }).to_string();
        socket.send(Message::Text(hello.into())).await.expect("hello");
    }
    let node = &world.nodes[0];
    // Between two turns of a user there is no replay, so all sockets have to be gone, too.
    eventually("no replay is left", || async {
        node.metric("verbatim_sockets ").await == 0
            && node.metric("verbatim_replays ").await == 0
            && consumers(&world).await == 0
    })
    .await;
    let mut device = ben.resumes(&cursor).await;
    device.gets("caught_up").await;
    assert_eq!(device.chain(&lunch).len(), 20);
    world.finish().await;
}

#[tokio::test]
async fn searching_the_log_for_keys_takes_few_consumers() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let mut groups = Vec::new();
    for n in 0..50 {
        groups.push(ana.starts_group(&format!("Group {n}"), &[&ben]).await);
    }
    let _ = long_ago(&mut world, &ana, &ben, 1).await;
    world.the_log_forgets_keys().await;
    let ana = ana.at(world.nodes[0].address);
    // The rosters are in memory before Postgres stops.
    for group in &groups {
        ana.says(group, "here").await;
    }
    let most = AtomicUsize::new(0);
    world
        .database
        .is_gone_for(async {
            let sends =
                join_all(groups.iter().map(|group| async { ana.sends(group, &key(), "there").await }));
            let watched = async {
                loop {
                    most.fetch_max(consumers(&world).await, Ordering::Relaxed);
                }
            };
            tokio::select! {
                sent = sends => sent.into_iter().for_each(|sent| drop(sent.expect(201))),
                () = watched => {}
            }
        })
        .await;
    let most = most.into_inner();
    assert!((1..20).contains(&most), "50 searches had {most} consumers at once");
    world.finish().await;
}

/// In a cluster, some servers know a new consumer before others.
#[tokio::test]
async fn on_servers_that_have_just_started_nobody_is_refused() {
    let mut world = World::empty_cluster(3, 4).await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let cursor = ben.connects().await.cursor();
    let mut groups = Vec::new();
    for n in 0..8 {
        let group = ana.starts_group(&format!("Group {n}"), &[&ben]).await;
        ana.says(&group, "one").await;
        let last = ana.says(&group, "two").await["position"].as_u64().expect("position");
        groups.push((group, last));
    }
    for _ in 0..3 {
        world.add_node("api,gateway").await;
        let ben = ben.at(world.nodes.last().expect("a node").address);
        let resumes = stream::iter(0..16).for_each_concurrent(1, async |_| {
            let mut device = ben.resumes(&cursor).await;
            device.gets("caught_up").await;
            for (group, _) in &groups {
                let chain = device.chain(group);
                assert_linked(&chain);
                assert_eq!(chain.len(), 3);
            }
            device.leaves().await;
        });
        let events = stream::iter(0..16).for_each_concurrent(1, async |_| {
            let page = ben.get(&format!("/v1/events?after={cursor}&limit=200")).await.expect(200);
            assert!(!page["items"].as_array().expect("items").is_empty());
        });
        let looks = groups.iter().cycle().take(16);
        let looks = stream::iter(looks).for_each_concurrent(1, async |(group, last)| {
            let path = format!("/v1/conversations/{}/messages?as_of={last}", group.id);
            let page = ben.get(&path).await.expect(200);
            assert_eq!(page["items"].as_array().expect("items").len(), 2, "{page}");
        });
        tokio::join!(resumes, events, looks);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_looks_who_lives_makes_no_consumer() {
    let world = World::start().await;
    let tasks = Supervisor::new();
    let log = Log::open(world.nats.url(), Wanted::default(), &tasks).await.expect("the log");
    let leases = log.leases().await.expect("the buckets");
    for _ in 0..20 {
        assert_eq!(leases.alive().await.expect("an answer").len(), 1);
    }
    let jetstream = jetstream::new(world.nats.client(NatsUser::Verbatim).await);
    let nodes = jetstream.get_stream("KV_verbatim_nodes").await.expect("the bucket");
    assert_eq!(nodes.cached_info().state.consumer_count, 0);
    world.finish().await;
}
