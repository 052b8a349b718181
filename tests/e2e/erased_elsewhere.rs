//! Erasures in a mirror that is in another JetStream domain, on a server that joins the log's as a leaf node.

use std::{net::Ipv4Addr, path::PathBuf};

use async_nats::jetstream::{
    self,
    stream::{Config, External, Source},
};
use verbatim::dev::{NatsUser, free_port};

use crate::{
    erased_copies::{last, makes_mirror, names},
    erasing::{asks, eventually_long, is_done, receipt, says_the_marker, with_marker},
    servers::{NatsOptions, start_hub},
    world::{Program, Way, World, eventually, tools},
};

const MIRROR: &str = "CHAT_0_COPY@hub";

#[tokio::test]
async fn a_receipt_waits_for_a_mirror_in_another_domain_until_it_is_reached() {
    let port = free_port();
    let options = NatsOptions { operator_mode: true, leaf_nodes: Some(port), ..NatsOptions::default() };
    let mut world = World::with_nats(options, 1).await;
    world.add_node("api,gateway,projector").await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let way = Way::to((Ipv4Addr::LOCALHOST, port).into()).await;
    let mut hub = start_hub(tools(), &world.dir().join("hub"), world.nats.folder(), way.address)
        .await
        .expect("the hub starts");
    let there = jetstream::new(hub.connect(NatsUser::Operator).await.expect("NATS"));
    let log = External { api_prefix: "$JS.log.API".into(), delivery_prefix: None };
    let origin = Source { name: "CHAT_0".into(), external: Some(log), ..Source::default() };
    makes_mirror(&there, "CHAT_0_COPY", Config { mirror: Some(origin), ..Config::default() }).await;
    let position = says_the_marker(&ana, &lunch, 1).await;
    let kept = ana.says(&lunch, "this one stays").await["position"].as_u64().expect("a position");
    eventually("the mirror has all", || async { last(&there, "CHAT_0_COPY").await >= kept }).await;
    assert_eq!(with_marker(hub.folder()).len(), 1);

    let (key, user) = (world.nats.folder().join("chat.nk"), world.dir().join("eraser.creds"));
    let [key, user] = [&key, &user].map(|file| file.to_str().expect("UTF-8"));
    let made = ["nats", "eraser", "--mirrors", MIRROR, "--account-key", key, "--out", user];
    let made = world.runs(&made).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let settings = [("VERBATIM_MIRRORS", MIRROR), ("VERBATIM_NATS_ERASER_CREDENTIALS_FILE", user)];
    let refused = world.runs(&["check", "--mirrors", MIRROR]).await;
    let refusal = format!("REFUSED  mirror: the NATS user may not ask for {MIRROR}");
    assert!(refused.code == Some(1) && refused.stdout.contains(&refusal), "another user: {refused:?}");
    let runs = async |command: &[&str]| world.runs_with(command, &settings).await;
    let checked = runs(&["check"]).await;
    let found = format!("ok       mirror: {MIRROR} mirrors CHAT_0 and lacks its last 0 events");
    assert!(checked.code == Some(0) && checked.stdout.contains(&found), "{checked:?}");

    // The connection between the servers is silent.
    way.block();
    let mut eraser = world.starts_with(&["eraser"], &settings);
    let id = asks(&program, &[(&lunch, position)]).await;
    eventually_long("the receipt names the mirror", async || {
        names(&receipt(&program, &id).await) == [MIRROR]
    })
    .await;
    let waits = receipt(&program, &id).await;
    assert!(waits["state"] == "verifying" && waits["log_done_at"].is_string(), "{waits}");
    let refusal = format!("{MIRROR} does not answer");
    let checked = runs(&["check"]).await;
    assert!(checked.code == Some(1) && checked.stdout.contains(&refusal), "{checked:?}");
    // Now the connection is there, and the server of the mirror is not.
    hub.kill9();
    way.clear();
    let verified = runs(&["erasures", "verify", &id]).await;
    assert!(verified.code == Some(1) && verified.stdout.contains(&refusal), "{verified:?}");
    assert_eq!(names(&receipt(&program, &id).await), [MIRROR]);
    assert_eq!(with_marker(hub.folder()).len(), 1, "nobody has erased it there");

    // How durable the mirror is says nothing about the log.
    hub.syncs_late();
    hub.start_again().await.expect("the hub starts again");
    let done = is_done(&program, &id).await;
    assert!(names(&done).is_empty(), "{done}");
    for folder in [world.nats.folder(), hub.folder()] {
        assert_eq!(with_marker(folder), [] as [PathBuf; 0], "{done}");
    }
    let there = jetstream::new(hub.connect(NatsUser::Operator).await.expect("NATS"));
    let mirror = there.get_stream("CHAT_0_COPY").await.expect("the mirror");
    let event = mirror.get_raw_message(kept).await.expect("an event that is not erased");
    assert!(String::from_utf8_lossy(&event.payload).contains("this one stays"));
    assert!(mirror.get_raw_message(position).await.is_err());
    for command in [&["check"][..], &["erasures", "verify", &id]] {
        let ran = runs(command).await;
        assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
    }
    eraser.kill().await.expect("it runs");
    world.finish().await;
    hub.stop().await;
}
