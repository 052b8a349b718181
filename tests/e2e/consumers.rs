//! Consumers: external programs, added by one command.

use std::fs;

use serde_json::json;

use crate::{
    command_line::dev,
    consumer_acts::{
        Read, it_is_rotated_and_removed, it_is_stuck_and_parks, it_may_do_nothing_else,
        it_reads_on_without_any_node, its_program_runs_unchanged, stays_out,
    },
    consuming::{Tried, added},
    operator_mode::{only_signed_users_get_in, the_eraser_reads_raft_logs},
    world::{ALL_SCOPES, NatsReply, Person, Program, Ran, World, command, key, signal},
};

/// The program in Rust is only compiled: it is a template whose placeholders are strings and comments.
#[path = "../../src/consumers/snippets/consumer.rs.txt"]
#[allow(dead_code, reason = "nothing runs it here")]
mod consumer;

#[tokio::test]
async fn the_program_of_a_new_consumer_runs_unchanged() {
    let folder = crate::world::folder();
    let mut dev = dev(folder.path()).await;
    let mut read = Read::begun_by(Person::registers(dev.address, "ana").await, 1).await;
    let pid = || fs::read_to_string(folder.path().join("nats/pid")).expect("the process of nats-server");
    let before = pid();
    let runs = async |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments).env("VERBATIM_DATA_DIR", folder.path()).current_dir(folder.path());
        Ran::of(command.output().await.expect("it runs"))
    };
    for (name, language) in [("t1", "python"), ("t2", "ts"), ("t3", "go")] {
        for (name, exclusive) in [(name.to_owned(), false), (format!("{name}-alone"), true)] {
            its_program_runs_unchanged(&mut read, (&name, language, exclusive), folder.path(), runs).await;
        }
    }
    assert_eq!(pid(), before, "nats-server was not started again");
    signal(dev.child.id().expect("pid"), "INT").await;
    assert!(dev.child.wait().await.expect("wait").success());
}

#[tokio::test]
async fn a_consumer_gets_its_events_and_may_do_nothing_else() {
    let mut world = World::in_operator_mode(4).await;
    world.add_node("api,gateway,projector").await;
    it_may_do_nothing_else(&world, &Read::begins(&world).await).await;
    world.finish().await;
}

#[tokio::test]
async fn credentials_are_replaced_and_end_and_a_consumer_goes() {
    let mut world = World::in_operator_mode(2).await;
    world.add_node("api,gateway,projector").await;
    let creds = it_is_rotated_and_removed(&world).await;
    // Revoked credentials stay revoked, even after a restart of the server.
    world.nats.start_again().await.expect("nats-server starts again");
    stays_out(&creds, world.nats.url()).await;
    assert_eq!(world.runs(&["consumers", "list"]).await.stdout, "none\n");
    world.finish().await;
}

#[tokio::test]
async fn what_a_consumer_cannot_take_is_parked_and_given_again() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let mut read = Read::begins(&world).await;
    it_is_stuck_and_parks(&world, &mut read).await;
    world.finish().await;
}

#[tokio::test]
async fn without_any_node_a_consumer_reads_on_and_a_new_one_connects() {
    let mut world = World::in_operator_mode(2).await;
    world.add_node("api,gateway,projector").await;
    let mut read = Read::begins(&world).await;
    it_reads_on_without_any_node(&mut world, &mut read).await;
    world.finish_without_views().await;
}

#[tokio::test]
async fn on_three_servers_all_of_it_is_the_same() {
    let mut world = World::cluster_in_operator_mode(4).await;
    world.add_node("api,gateway,projector").await;
    let mut read = Read::begins(&world).await;
    let before = world.nats.pids();
    let dir = world.dir().to_owned();
    let runs = async |arguments: &[&str]| {
        let creds = dir.join(format!("{}.creds", arguments[2]));
        world.runs(&[arguments, &["--out", creds.to_str().expect("text")]].concat()).await
    };
    its_program_runs_unchanged(&mut read, ("t1", "python", false), &dir, runs).await;
    it_may_do_nothing_else(&world, &read).await;
    only_signed_users_get_in(&world).await;
    the_eraser_reads_raft_logs(&world, &read.stream).await;
    it_is_rotated_and_removed(&world).await;
    it_is_stuck_and_parks(&world, &mut read).await;
    world.views_equal_a_rebuild().await;
    it_reads_on_without_any_node(&mut world, &mut read).await;
    assert_eq!(world.nats.pids(), before, "no nats-server was started again");
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_consumer_with_a_bot_gives_commands_under_its_own_name_only() {
    let mut world = World::in_operator_mode(1).await;
    world.add_node("api,gateway,projector").await;
    let robot = Program::bootstraps(&world).await.makes("robot", ALL_SCOPES).await.person;
    let creds = added(&world, "robot1", &["--bot", &robot.id]).await;
    let tried = Tried::with(world.nats.url(), &creds, "robot1").await;
    let start = json!({ "kind": "group", "title": "Bots", "members": [], "client_id": key() }).to_string();
    let subject = "verbatim.commands.robot1.start_conversation";
    let reply = tried.client.request(subject, start.clone().into()).await.expect("a reply");
    let group = NatsReply::of(&reply).expect(201);
    let found = robot.get(&format!("/v1/conversations/{}", group["id"].as_str().expect("an id"))).await;
    assert_eq!(found.expect(200)["title"], "Bots");
    let pinged = tried.client.request("$SRV.PING.verbatim", "".into()).await.expect("a reply");
    assert!(String::from_utf8_lossy(&pinged.payload).contains("verbatim"), "{pinged:?}");
    tried.may_not_publish("verbatim.commands.reader.start_conversation", &start).await;
    let nobody = uuid::Uuid::now_v7().to_string();
    let unknown = world.runs(&["consumers", "add", "robot2", "--bot", &nobody]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there is no service account"), "{unknown:?}");
    world.finish_without_views().await;
}
