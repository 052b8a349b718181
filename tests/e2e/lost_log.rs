//! A log is created once. A lost log or stream is reported and not recreated.

use async_nats::jetstream::{self, stream::Config};
use verbatim::dev::NatsUser;

use crate::world::{Backbone, Database, Ran, World, alerts::is_firing, command, eventually};

/// The names of the existing streams.
async fn streams(world: &World) -> Vec<String> {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let mut names = Vec::new();
    for index in 0..world.streams {
        let name = format!("CHAT_{index}");
        if jetstream.get_stream(&name).await.is_ok() {
            names.push(name);
        }
    }
    names
}

#[tokio::test]
async fn a_lost_log_is_refused_by_everybody_and_made_by_nobody() {
    let mut world = World::with_streams(2).await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let last = ana.says(&notes, "kept in the views alone").await["position"].as_u64().expect("position");
    ana.history(&notes, last).await;
    world.nodes[0].stop().await;
    world.loses_the_log().await;

    for command in
        [&["status"][..], &["check"], &["verify"], &["rebuild", "all"], &["migrate"], &["log", "begin-epoch"]]
    {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains("there is no log") && told.contains("DISASTERS.md"), "{command:?}: {told}");
    }
    let served = world.runs(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).await;
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("there is no log"), "{served:?}");
    assert_eq!(streams(&world).await, [""; 0], "nobody has made one");
    let kept: i64 = world.database.finds("select count(*) from view.message").await;
    assert_eq!(kept, 1, "the views are left alone");

    // The views say how many streams there were.
    let recreates = async || {
        let ended = command()
            .args(["log", "recreate"])
            .env("VERBATIM_NATS_URL", world.nats.url())
            .envs(Backbone::settings(&world.nats))
            .env("VERBATIM_DATABASE_URL", &world.database.url)
            .output()
            .await;
        Ran::of(ended.expect("the program runs"))
    };
    world.database.does("alter table view.checkpoint rename to gone").await;
    let refused = recreates().await;
    assert!(refused.code == Some(1) && refused.stderr.contains("set VERBATIM_STREAMS"), "{refused:?}");
    assert_eq!(streams(&world).await, [""; 0]);
    world.database.does("alter table view.gone rename to checkpoint").await;
    let recreated = recreates().await;
    assert_eq!(recreated.code, Some(0), "{recreated:?}");
    world.streams = 16;
    assert_eq!(streams(&world).await.len(), 2);
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_stream_that_is_lost_is_named_and_comes_back_only_when_an_operator_says_so() {
    let mut world = World::with_streams(4).await;
    let ana = world.person("ana").await;
    let mut groups = Vec::new();
    for _ in 0..12 {
        groups.push(ana.starts_group("Notes", &[]).await);
    }
    let shard = |id: &str| usize::from_str_radix(&id[id.len() - 2..], 16).expect("hex") * 4 / 256;
    for group in &groups {
        let last = ana.says(group, "hello").await["position"].as_u64().expect("position");
        ana.history(group, last).await;
    }
    let lost = shard(&groups[0].id);
    world.nodes[0].stop().await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    jetstream.delete_stream(format!("CHAT_{lost}")).await.expect("an operator may");

    for command in [&["status"][..], &["check"], &["migrate"], &["log", "begin-epoch"]] {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains(&format!("CHAT_{lost} missing")), "{command:?}: {told}");
    }
    assert_eq!(streams(&world).await.len(), 3);

    let recreated = world.runs(&["log", "recreate"]).await;
    assert_eq!(recreated.code, Some(0), "{recreated:?}");
    assert_eq!(streams(&world).await.len(), 4);
    for streams in ["4", "8"] {
        let refused = world.runs_with(&["log", "recreate"], &[("VERBATIM_STREAMS", streams)]).await;
        let why = "no stream of the log is lost";
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{refused:?}");
    }
    let node = world.begins_node("api,gateway,projector", &[]).await;
    eventually("the views are refused", || async {
        let (code, body) = node.readiness().await;
        code == 503 && body["trouble"].as_str().is_some_and(|told| told.contains("views_of_another_log"))
    })
    .await;
    // A node that is starting does not say that servers are down, which it has not asked yet.
    let told = node.metrics().await;
    assert!(is_firing("VerbatimNotReady", &told, ""), "{told}");
    assert!(
        ["VerbatimNatsDown", "VerbatimPostgresDown"].iter().all(|down| !is_firing(down, &told, "")),
        "{told}"
    );
    let refused = world.runs(&["rebuild", "all"]).await;
    assert_eq!(refused.code, Some(1), "the views are the last copy: {refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    let forced = world.runs(&["rebuild", "all", "--force"]).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    world.nodes[0] = node.serves().await;
    let ana = ana.at(world.nodes[0].address);
    for group in &groups {
        let answer = ana.get(&format!("/v1/conversations/{}", group.id)).await;
        assert_eq!(answer.status, if shard(&group.id) == lost { 404 } else { 200 }, "{group:?}");
    }
    world.views_equal_a_rebuild().await;
    let meant = ["the views belong to another log"];
    world.finish_with_errors(&meant).await;
}

#[tokio::test]
async fn looking_changes_no_setting_and_serving_only_those_that_are_ours() {
    let mut world = World::start().await;
    world.nodes[0].stop().await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let config =
        async || jetstream.get_stream("CHAT_0").await.expect("the stream").cached_info().config.clone();
    let mut set = config().await;
    (set.max_bytes, set.deny_delete, set.allow_direct) = (1 << 30, true, false);
    jetstream.update_stream(set.clone()).await.expect("an operator may");

    // The bucket of an older version, in which markers of removed entries stay for ever.
    let bucket =
        jetstream.get_stream("KV_verbatim_here").await.expect("the bucket").cached_info().config.clone();
    let older = Config { allow_message_ttl: false, subject_delete_marker_ttl: None, ..bucket.clone() };
    jetstream.delete_stream(&bucket.name).await.expect("an operator may");
    jetstream.create_stream(older).await.expect("an operator may");

    let checked = world.runs(&["check"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("deny_delete is set on CHAT_0"), "{checked:?}");
    for command in [&["status"][..], &["verify"], &["rebuild", "all"]] {
        assert_eq!(world.runs(command).await.code, Some(0), "{command:?}");
    }
    let after = config().await;
    assert_eq!((after.max_bytes, after.deny_delete, after.allow_direct), (1 << 30, true, false));

    let migrated = world.runs(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    assert!(migrated.stdout.contains("CHAT_0: allow_direct was false and is now true"), "{migrated:?}");
    let after = jetstream.get_stream(&bucket.name).await.expect("the bucket").cached_info().config.clone();
    assert_eq!(
        (after.allow_message_ttl, after.subject_delete_marker_ttl),
        (true, bucket.subject_delete_marker_ttl)
    );
    world.add_node("api,gateway,projector").await;
    let after = config().await;
    assert_eq!((after.max_bytes, after.deny_delete, after.allow_direct), (1 << 30, true, true));
    world.finish().await;
}

#[tokio::test]
async fn a_log_of_another_installation_is_refused() {
    let mut world = World::start().await;
    let others = Database::new().await;
    others.does("insert into auth.installation (epoch, cursor_key) values ('another', decode(repeat('00', 32), 'hex'))").await;
    let own = std::mem::replace(&mut world.database, others);
    for command in [&["status"][..], &["check"], &["migrate"], &["rebuild", "all"]] {
        let ran = world.runs(command).await;
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        assert!((ran.stdout + &ran.stderr).contains("begin-epoch"), "{command:?}");
    }
    std::mem::replace(&mut world.database, own).drop().await;
    world.finish().await;
}
