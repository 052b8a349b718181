//! Presence.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream::Config};
use serde_json::{Value, json};
use uuid::Uuid;
use verbatim::{
    app,
    clock::Clock,
    dev::NatsUser,
    domain::{Status, UserId},
    log::{Log, Wanted},
    presence::{Presence, PresenceSettings},
    supervise::Supervisor,
};

use crate::world::{Backbone, Device, Person, World, eventually, signal};

const QUICK: &[(&str, &str)] = &[("VERBATIM_PRESENCE_GRACE", "1")];

async fn world() -> World {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", QUICK).await;
    world
}

async fn status(asker: &Person, of: &Person) -> String {
    let answer = asker.get(&format!("/v1/users/{}/presence", of.id)).await.expect(200);
    answer["status"].as_str().expect("status").to_owned()
}

async fn until(asker: &Person, of: &Person, wanted: &str) {
    eventually(&format!("{} is {wanted}", of.name), || async { status(asker, of).await == wanted }).await;
}

fn told(device: &Device, of: &Person) -> Vec<Value> {
    let about =
        device.seen.iter().filter(|frame| frame["op"] == "presence" && frame["user_id"] == of.id.as_str());
    about.map(|frame| frame["status"].clone()).collect()
}

#[tokio::test]
async fn those_who_share_a_conversation_see_who_comes_and_goes() {
    let world = world().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    ana.starts_group("Lunch", &[&ben]).await;
    ana.starts_group("Work", &[&ben]).await;
    let (mut of_ana, mut of_eve) = (ana.connects().await, eve.connects().await);
    let phone = ben.connects().await;
    let mut laptop = ben.connects().await;
    of_ana.waits_for("ben comes", |frame| frame["op"] == "presence" && frame["status"] == "online").await;
    until(&ana, &ben, "online").await;
    let path = format!("/v1/users/{}/presence", ben.id);
    assert!(ana.get(&path).await.expect(200)["last_seen_at"].is_string(), "it is known before it is kept");
    phone.leaves().await;
    laptop.tells(json!({ "op": "presence", "status": "away" })).await;
    of_ana.waits_for("ben looks away", |frame| frame["op"] == "presence" && frame["status"] == "away").await;
    laptop.leaves().await;
    let gone =
        of_ana.waits_for("ben goes", |frame| frame["op"] == "presence" && frame["status"] == "offline").await;
    assert!(gone["last_seen_at"].is_string());
    until(&ana, &ben, "offline").await;
    eventually("when ben was last seen is kept", || async {
        ana.get(&format!("/v1/users/{}/presence", ben.id)).await.expect(200)["last_seen_at"].is_string()
    })
    .await;
    assert_eq!(
        told(&of_ana, &ben),
        ["online", "away", "offline"],
        "once each, though they share two conversations"
    );

    eve.get(&format!("/v1/users/{}/presence", ben.id)).await.refuses(404, "not_found");
    of_eve.catches_up().await;
    assert!(told(&of_eve, &ben).is_empty() && told(&of_eve, &ana).is_empty());
    a_full_bucket_holds_up_no_end(&world, &ana, of_ana).await;
    world.finish().await;
}

/// Leaves too little room for another entry in the bucket, for as long as ana takes to leave.
async fn a_full_bucket_holds_up_no_end(world: &World, ana: &Person, of_ana: Device) {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let cleo = world.person("cleo").await;
    ana.starts_group("Tea", &[&cleo]).await;
    until(&cleo, ana, "online").await;
    let bucket = jetstream.get_stream("KV_verbatim_here").await.expect("the bucket").cached_info().clone();
    let full = Config { max_bytes: bucket.state.bytes as i64 + 100, ..bucket.config.clone() };
    jetstream.update_stream(full).await.expect("an operator may");
    let _of_cleo = cleo.connects().await;
    eventually("cleo has no room", || async {
        world.nodes[0].metric("verbatim_presence_refusals_total").await > 0
    })
    .await;
    of_ana.leaves().await;
    until(&cleo, ana, "offline").await;
    assert_eq!(status(ana, &cleo).await, "offline");
    jetstream.update_stream(bucket.config).await.expect("an operator may");
    until(ana, &cleo, "online").await;
}

#[tokio::test]
async fn a_short_absence_is_none() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_PRESENCE_GRACE", "30")]).await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let mut of_ana = ana.connects().await;
    let first = ben.connects().await;
    of_ana.waits_for("ben comes", |frame| frame["op"] == "presence" && frame["status"] == "online").await;
    first.leaves().await;
    let _again = ben.connects().await;
    // Another user's connect is announced after any announcement of ben's absence would have been.
    let _other = cleo.connects().await;
    of_ana
        .waits_for("cleo comes", |frame| frame["op"] == "presence" && frame["user_id"] == cleo.id.as_str())
        .await;
    assert_eq!(told(&of_ana, &ben), ["online"]);
    world.finish().await;
}

#[tokio::test]
async fn a_crowd_is_not_told_who_comes_but_may_ask() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_PRESENCE_CROWD", "2")]).await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let crowd = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    ana.starts_group("Tea", &[&ben]).await;
    let mut of_ana = ana.connects().await;
    let _of_cleo = cleo.connects().await;
    until(&ana, &cleo, "online").await;
    let _of_ben = ben.connects().await;
    of_ana.waits_for("ben comes", |frame| frame["op"] == "presence" && frame["status"] == "online").await;
    assert!(told(&of_ana, &cleo).is_empty());
    let page = ana.get(&format!("/v1/conversations/{}/presence", crowd.id)).await.expect(200);
    let items = page["items"].as_array().expect("a page");
    assert!(items.len() == 3 && items.iter().all(|item| item["status"] == "online"), "{page}");
    world.finish().await;
}

#[tokio::test]
async fn a_gateway_that_dies_takes_its_users_offline() {
    let mut world = world().await;
    world.add_node_with("api,gateway", QUICK).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ana = ana.connects().await;
    let _of_ben = ben.at(world.nodes[1].address).connects().await;
    of_ana.waits_for("ben comes", |frame| frame["op"] == "presence" && frame["status"] == "online").await;
    world.nodes[1].kill9().await;
    of_ana.waits_for("ben is gone", |frame| frame["op"] == "presence" && frame["status"] == "offline").await;
    until(&ana, &ben, "offline").await;
    world.nodes.pop();
    world.finish().await;
}

#[tokio::test]
async fn typing_is_told_to_the_others_and_kept_nowhere() {
    let world = world().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let (mut of_ana, mut of_ben, mut of_eve) =
        (ana.connects().await, ben.connects().await, eve.connects().await);
    of_ana.tells(json!({ "op": "typing", "conversation_id": lunch.id })).await;
    let typing = of_ben.gets("typing").await;
    assert_eq!(
        (typing["user_id"].as_str(), typing["conversation_id"].as_str()),
        (Some(&*ana.id), Some(&*lunch.id))
    );
    of_eve.tells(json!({ "op": "typing", "id": "t", "conversation_id": lunch.id })).await;
    assert_eq!(of_eve.gets("error").await["code"], "not_found");
    of_ana.says(&lunch, "pizza").await;
    assert_eq!(of_ben.sees("pizza").await["previous"], lunch.position, "typing is no event");
    world.finish().await;
}

/// The presence part of a node, next to the node of the story.
async fn presence_of<B: Backbone>(world: &World<B>, log: &Log, tasks: &Supervisor) -> Presence {
    let pool = app::database(&world.database.url, 2).await.expect("Postgres");
    let settings = PresenceSettings {
        grace: Duration::ZERO,
        marker: Duration::from_secs(1),
        ..PresenceSettings::default()
    };
    Presence::start(log.clone(), pool, Clock::system(), settings, tasks).await.expect("the buckets")
}

/// Many people with one session each.
fn crowd(count: usize) -> Vec<(UserId, Uuid)> {
    (0..count).map(|_| (UserId::known(Uuid::now_v7()), Uuid::now_v7())).collect()
}

#[tokio::test]
async fn whatever_comes_at_once_an_end_is_never_lost() {
    let (world, tasks) = (World::start().await, Supervisor::new());
    let log = Log::open(world.nats.url(), Wanted::default(), &tasks).await.expect("the log");
    let presence = presence_of(&world, &log, &tasks).await;
    let crowd = crowd(300);
    for (user, session) in &crowd {
        presence.tell(*user, *session, Status::Online);
    }
    let all_are = async |status: Status| crowd.iter().all(|(user, _)| presence.status(*user) == status);
    eventually("all are here", || all_are(Status::Online)).await;
    // These are more changes than any queue would hold. The final state comes last.
    for _ in 0..200 {
        for (user, session) in &crowd {
            presence.tell(*user, *session, Status::Away);
            presence.tell(*user, *session, Status::Online);
        }
    }
    for (user, session) in &crowd {
        presence.tell(*user, *session, Status::Offline);
    }
    eventually("all have gone", || all_are(Status::Offline)).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    eventually("nothing is left of them, and of their removal", || async {
        let here = jetstream.get_stream("KV_verbatim_here").await.expect("the bucket");
        here.cached_info().state.messages == 0
    })
    .await;
    assert!(tasks.stop(Duration::from_secs(5)).await);
    drop((presence, log));
    world.finish().await;
}

#[tokio::test]
async fn a_node_keeps_its_lease_while_it_writes_thousands_of_entries() {
    // In a cluster, writing all entries takes longer than the lease, so the lease must not wait for them.
    let (mut world, tasks) = (World::empty_cluster(3, 1).await, Supervisor::new());
    world.add_node("api,gateway,projector").await;
    let log = Log::open(world.nats.url(), Wanted::default(), &tasks).await.expect("the log");
    let presence = presence_of(&world, &log, &tasks).await;
    let leases = log.leases().await.expect("the buckets");
    let nodes = leases.alive().await.expect("an answer");
    assert_eq!(nodes.len(), 2, "the node of the story and this one");
    let began = Instant::now();
    for (user, session) in crowd(100_000) {
        presence.tell(user, session, Status::Online);
    }
    // This is longer than a lease.
    let long = verbatim::log::LEASE + Duration::from_secs(8);
    eventually("the lease was kept for long", || async {
        assert_eq!(leases.alive().await.expect("an answer"), nodes, "after {:?}", began.elapsed());
        began.elapsed() > long
    })
    .await;
    assert!(tasks.stop(Duration::from_secs(5)).await);
    drop((presence, log));
    world.finish().await;
}

#[tokio::test]
async fn whoever_was_removed_sees_nobody_although_the_views_lag_behind() {
    let mut world = World::empty(1).await;
    world.add_node("api,gateway").await;
    world.add_node("projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    until(&ben, &ana, "offline").await;
    signal(world.nodes[1].pid(), "STOP").await;
    ana.removes(&lunch, &ben).await.expect(204);
    let (of_ana, of_ben) =
        (format!("/v1/users/{}/presence", ana.id), format!("/v1/users/{}/presence", ben.id));
    // Other views might say that the two share another conversation.
    ben.get(&of_ana).await.refuses(503, "not_yet");
    ana.get(&of_ben).await.refuses(503, "not_yet");
    signal(world.nodes[1].pid(), "CONT").await;
    eventually("the views know", || async { ben.get(&of_ana).await.status == 404 }).await;
    ana.get(&of_ben).await.refuses(404, "not_found");
    world.finish().await;
}
