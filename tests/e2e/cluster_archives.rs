//! An archive of a log on three servers, and what comes back from it. One server is away most of the time.

use async_nats::jetstream::{
    self, Context,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use verbatim::dev::NatsUser;

use crate::{
    archives::{audited, creates, folder, loses_the_database, place, restores, segments, shard, verifies},
    erasing::{MARKER, asks, eventually_long, receipt, says_the_marker, starts_eraser},
    servers::Cluster,
    world::{Backbone as _, Conversation, Person, Program, World, eventually, key},
};

const STREAMS: usize = 2;
/// So many events have been acknowledged by the durables.
const ACKNOWLEDGED: u64 = 5;

async fn jetstream(world: &World<Cluster>) -> Context {
    jetstream::new(world.nats.client(NatsUser::Operator).await)
}

async fn starts_node(world: &mut World<Cluster>) {
    let archive = place(world);
    let roles = "api,gateway,projector,archiver";
    world.add_node_with(roles, &[("VERBATIM_ARCHIVE", &archive)]).await;
}

async fn says(who: &Person, to: &Conversation, text: &str) -> u64 {
    who.says(to, text).await["position"].as_u64().expect("a position")
}

/// Two people with a conversation in each stream, in which things were said and edited.
async fn talk(world: &World<Cluster>) -> (Person, Person, [Conversation; STREAMS]) {
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let mut groups = [None, None];
    while groups.iter().any(Option::is_none) {
        let group = ana.starts_group("Lunch", &[&ben]).await;
        let stream = shard(&group.id) * STREAMS / 256;
        groups[stream].get_or_insert(group);
    }
    let groups = groups.map(|group| group.expect("one"));
    for group in &groups {
        for n in 0..6 {
            let sent = ana.sends(group, &key(), &format!("text {n}")).await.expect(201);
            if n % 3 == 0 {
                let path =
                    format!("/v1/conversations/{}/messages/{}", group.id, sent["id"].as_str().expect("id"));
                ana.patch(&path, json!({ "text": format!("edited {n}") })).await.expect(200);
            }
        }
    }
    (ana, ben, groups)
}

/// What somebody is shown of conversations, up to these positions.
async fn shown(who: &Person, of: &[Conversation; STREAMS], ends: [u64; STREAMS]) -> Vec<Value> {
    let mut shown = Vec::new();
    for (group, end) in of.iter().zip(ends) {
        let path = format!("/v1/conversations/{}/messages?limit=50&min_position={end}", group.id);
        shown.push(who.get(&path).await.expect(200)["items"].clone());
    }
    shown
}

/// A durable with so many copies of its own, and the server that leads it.
async fn reads(world: &World<Cluster>, name: &str, copies: usize) -> usize {
    let stream = jetstream(world).await.get_stream("CHAT_0").await.expect("the stream");
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        ack_policy: AckPolicy::All,
        num_replicas: copies,
        ..Default::default()
    };
    let durable: PullConsumer = stream.create_consumer(config).await.expect("a durable");
    // The servers may not know it yet.
    eventually("it has acknowledged some events", async || {
        let count = usize::try_from(ACKNOWLEDGED).expect("a number");
        let Ok(messages) = durable.fetch().max_messages(count).messages().await else { return false };
        let messages: Vec<_> = messages.try_collect().await.unwrap_or_default();
        let Some(last) = messages.last() else { return false };
        assert_eq!(last.info().expect("positions").stream_sequence, ACKNOWLEDGED);
        last.double_ack().await.is_ok()
    })
    .await;
    let leader = durable.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone());
    let index = leader.as_ref().and_then(|name| name.strip_prefix("verbatim-")?.parse().ok());
    index.unwrap_or_else(|| panic!("no server: {leader:?}"))
}

/// The durable goes on behind what it has acknowledged, with so many copies.
async fn reads_on(world: &World<Cluster>, name: &str, copies: usize) {
    let durable: PullConsumer =
        jetstream(world).await.get_consumer_from_stream(name, "CHAT_0").await.expect("the durable");
    assert_eq!(durable.cached_info().config.num_replicas, copies, "{name}");
    let mut messages = durable.fetch().max_messages(1).messages().await.expect("messages");
    let first = messages.next().await.expect("a message").expect("a message");
    assert_eq!(first.info().expect("positions").stream_sequence, ACKNOWLEDGED + 1, "{name}");
}

fn head(world: &World<Cluster>) -> Value {
    let text = std::fs::read(folder(world).join("HEAD.json")).expect("a manifest");
    serde_json::from_slice(&text).expect("JSON")
}

/// Every stream has three copies, and all of them are current.
async fn all_have_three_copies(world: &World<Cluster>) {
    world.nats.settled().await.expect("all have all");
    let jetstream = jetstream(world).await;
    let names: Vec<String> = jetstream.stream_names().try_collect().await.expect("names");
    for name in ["CHAT_0", "CHAT_1", "AUDIT", "ADVISORIES", "REPLAY"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing: {names:?}");
    }
    for name in names {
        let stream = jetstream.get_stream(&name).await.expect("the stream");
        assert_eq!(stream.cached_info().config.num_replicas, 3, "{name}");
        eventually(&format!("all copies of {name} are current"), || async {
            let info = stream.get_info().await.expect("the stream");
            let replicas = info.cluster.map(|cluster| cluster.replicas).unwrap_or_default();
            replicas.len() == 2 && replicas.iter().all(|replica| replica.current && !replica.offline)
        })
        .await;
    }
}

/// The views were built from so many events, and are right.
async fn is_verified(world: &World<Cluster>, events: u64) {
    let verified = world.runs(&["verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains(&format!("({events} events)")), "{events}: {verified:?}");
}

#[tokio::test]
async fn a_cluster_comes_back_from_its_archive_with_all_its_copies() {
    let mut world = World::empty_cluster(3, STREAMS).await;
    starts_node(&mut world).await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben, groups) = talk(&world).await;
    let erased = says_the_marker(&ana, &groups[1], 3).await;
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&groups[1], erased)]).await;
    reads(&world, "many", 3).await;
    let away = reads(&world, "alone", 1).await;
    creates(&world).await;
    let durables = head(&world)["durables"].clone();

    // The server of a durable without another copy is killed, and the archiver goes on.
    world.nats.nats(away).kill9();
    let mut ends = [0; STREAMS];
    for (group, end) in groups.iter().zip(&mut ends) {
        for (key, text) in [("the-key-of-8", "meanwhile"), ("the-key-of-9", "the last")] {
            eventually_long("sends go on", async || {
                let sent = ana.sends(group, key, text).await;
                *end = sent.body["position"].as_u64().unwrap_or_default();
                sent.status == 201
            })
            .await;
        }
    }
    let cursor = ben.connects().await.cursor();
    let deep = world.runs(&["backup", "verify", "--deep", "--to", &place(&world)]).await;
    assert!(deep.code == Some(0) && !deep.stdout.contains("0 of 0 rows"), "{deep:?}");
    eventually_long("it is erased from the log", async || {
        receipt(&program, &id).await["log_done_at"].is_string()
    })
    .await;
    eraser.kill().await.expect("it runs");
    creates(&world).await;
    let head = head(&world);
    assert_eq!(head["durables"], durables, "what is away is as it was");
    let verified = verifies(&world).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let before = shown(&ben, &groups, ends).await;
    world.nodes.pop().expect("the node").stop().await;
    let last = |stream: &str| head["ends"][stream]["last"].as_u64().expect("a position");
    let lasts = [last("CHAT_0"), last("CHAT_1")];

    world.loses_the_log().await;
    loses_the_database(&mut world).await;
    // A restore is interrupted, and a server goes before it is continued.
    let lost = segments(&world, "CHAT_1").remove(0);
    let aside = world.dir().join("aside");
    std::fs::rename(&lost, &aside).expect("moved");
    let refused = restores(&world, &[]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("is missing"), "{refused:?}");
    std::fs::rename(&aside, &lost).expect("moved back");
    let away = world.nats.leader_of("CHAT_0").await.expect("a leader");
    world.nats.nats(away).term();
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    is_verified(&world, lasts.iter().sum()).await;
    for command in ["check", "status"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    world.nats.nats(away).start_again().await.expect("it starts again");
    // The others may take it for offline for some more seconds.
    eventually("the copies have a place", async || world.runs(&["migrate"]).await.code == Some(0)).await;
    all_have_three_copies(&world).await;

    starts_node(&mut world).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    assert_eq!(shown(&ben, &groups, ends).await, before);
    assert!(
        before[1].to_string().contains("\"erased\":true") && !before[1].to_string().contains(MARKER),
        "{before:?}"
    );
    assert_eq!(ben.resumes(&cursor).await.gets("reset").await["reason"], "epoch_changed");
    let told = audited(&world, "log.restored").await;
    let told = &told.last().expect("it is told")["data"];
    assert_eq!(told["old_epoch"], head["epoch"]);
    assert_ne!(told["new_epoch"], head["epoch"]);
    assert_eq!(told["lost_after"], json!({ "CHAT_0": lasts[0], "CHAT_1": lasts[1] }));
    for (group, end) in groups.iter().zip(ends) {
        assert!(says(&ana, group, "and on").await > end);
    }
    reads_on(&world, "many", 3).await;
    reads_on(&world, "alone", 1).await;

    a_lost_stream_comes_back(&mut world, &ana, &groups).await;
    all_have_three_copies(&world).await;
    world.finish().await;
}

/// One stream is deleted, and restored while a server is away. The others stay.
async fn a_lost_stream_comes_back(
    world: &mut World<Cluster>,
    ana: &Person,
    groups: &[Conversation; STREAMS],
) {
    let mut ends = [0; STREAMS];
    for (group, end) in groups.iter().zip(&mut ends) {
        *end = says(ana, group, "once more").await;
    }
    let before = shown(ana, groups, ends).await;
    creates(world).await;
    world.nodes.pop().expect("the node").stop().await;
    let away = world.nats.leader_of("CHAT_1").await.expect("a leader");
    world.nats.nats(away).term();
    jetstream(world).await.delete_stream("CHAT_1").await.expect("an operator may");
    let checked = world.runs(&["check"]).await;
    assert!(checked.code == Some(1) && checked.stdout.contains("CHAT_1 missing"), "{checked:?}");
    let planned = restores(world, &["--plan"]).await;
    for line in
        ["new streams get 3 replicas", "CHAT_0 exists, will be compared and kept", "CHAT_1 will be created"]
    {
        assert!(planned.stdout.contains(line), "{planned:?}");
    }
    let mut restored = restores(world, &[]).await;
    // A leader of all leaders that has never heard of the server that is away has no place for a new stream.
    if restored.code != Some(0) {
        assert!(restored.stderr.contains("start 3 nats-servers as one cluster"), "{restored:?}");
        world.nats.nats(away).start_again().await.expect("it starts again");
        restored = restores(world, &[]).await;
    }
    assert_eq!(restored.code, Some(0), "{restored:?}");
    is_verified(world, ends.iter().sum()).await;
    starts_node(world).await;
    let ana = ana.at(world.nodes[0].address);
    assert_eq!(shown(&ana, groups, ends).await, before);
    for (group, end) in groups.iter().zip(ends) {
        assert!(says(&ana, group, "to the end").await > end);
    }
    world.nats.nats(away).start_again().await.expect("it starts again");
}
