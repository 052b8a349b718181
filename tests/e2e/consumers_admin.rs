//! Consumers over REST, on a node that has the key that signs them, and other uses of consumers.

use std::{fs, time::Duration};

use async_nats::jetstream::{self, AckKind, stream};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::timeout;
use verbatim::dev::NatsUser;

use crate::{
    consuming::{Tried, added, listed, next, next_of},
    operator_mode::an_eraser_without_reports_does_not_wait,
    world::{
        ALL_SCOPES, Backbone as _, Node, PATIENCE, Program, World, eventually, eventually_within, stays,
    },
};

/// A world whose first node has the key that signs consumers.
async fn world() -> World {
    let mut world = World::in_operator_mode(2).await;
    let key = world.nats.folder().join("consumers.key").display().to_string();
    world.add_node_with("api,gateway,projector", &[("VERBATIM_CONSUMERS_KEY_FILE", &key)]).await;
    world
}

#[tokio::test]
async fn consumers_are_kept_over_rest_by_a_node_that_can_revoke_nothing() {
    let mut world = world().await;
    world.add_node("api").await;
    let bootstrap = Program::bootstraps(&world).await;
    let admin = bootstrap.person.clone();
    let path = "/v1/admin/consumers";

    // A node without the key names the missing file.
    let refused = admin.at(world.nodes[1].address).get(path).await.refuses(503, "not_configured");
    assert!(
        refused["detail"].as_str().expect("a detail").contains("VERBATIM_CONSUMERS_KEY_FILE"),
        "{refused}"
    );

    let wanted = json!({ "name": "r1", "from": "start", "lanes": ["timeline"], "expires_in": 3_600 });
    let made = admin.post(path, wanted.clone()).await.expect(201);
    assert_eq!((&made["added"], &made["streams"]), (&json!(true), &json!(["CHAT_0", "CHAT_1"])), "{made}");
    assert!(made["snippet"].as_str().expect("a program").contains("\"r1\""), "{made}");
    let again = admin.post(path, wanted).await.expect(200);
    assert!(again["added"] == false && again.get("credentials").is_none(), "{again}");
    let other = json!({ "name": "r1", "lanes": ["roster"] });
    admin.post(path, other).await.refuses(409, "conflict");
    for name in ["R.1", "sweep"] {
        let refused = admin.post(path, json!({ "name": name })).await.refuses(400, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], "/name", "{refused}");
    }
    admin.get(&format!("{path}/r%00")).await.refuses(404, "not_found");
    admin.post(&format!("{path}/r%00/rotate"), json!({})).await.refuses(404, "not_found");
    admin.post(path, json!({ "name": "r2", "lanes": ["typing"] })).await.refuses(400, "invalid_body");

    let creds = world.dir().join("r1.creds");
    fs::write(&creds, made["credentials"].as_str().expect("credentials")).expect("written");
    let tried = Tried::with(world.nats.url(), &creds, "r1").await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "over REST").await;
    let shown = async || admin.get(&format!("{path}/r1")).await.expect(200);
    eventually("its connection is counted", || async { shown().await["connections"] == 1 }).await;
    assert_eq!(shown().await["lag_events"], 1);
    let metric = "verbatim_consumer_lag_events{name=\"r1\"} ";
    eventually("the lag is measured", || async {
        world.nodes[0].metrics().await.lines().any(|line| line.strip_prefix(metric) == Some("1"))
    })
    .await;
    let stream = format!("CHAT_{}", usize::from_str_radix(&notes.id[34..], 16).expect("hex") / 128);
    next(&tried.durable(&stream, "r1").await).await.double_ack().await.expect("acknowledged");
    assert_eq!(shown().await["lag_seconds"], 0);
    let items = admin.get(path).await.expect(200)["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
    assert_eq!(admin.get(&format!("{path}/r1/parked")).await.expect(200)["items"], json!([]));

    // The command line does the same over the network.
    let url = format!("http://{}", world.nodes[0].address);
    let remote = [("VERBATIM_URL", &*url), ("VERBATIM_KEY", &*admin.token)];
    let ran = world.runs_with(&["consumers", "list", "--json"], &remote).await;
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["items"][0]["name"], "r1", "{ran:?}");
    // The same again is no change, even though the file with the credentials exists.
    let file = creds.to_str().expect("text");
    let adds = ["consumers", "add", "r1", "--from", "start", "--lanes", "timeline", "--out", file];
    let ran = world.runs_with(&adds, &remote).await;
    assert!(ran.code == Some(0) && ran.stderr.contains("already exists and has"), "{ran:?}");
    let ran = world.runs_with(&["consumers", "add", "r3", "--out", file], &remote).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("is not overwritten"), "{ran:?}");
    admin.get(&format!("{path}/r3")).await.refuses(404, "not_found");

    // The old credentials are due for a sweep, which a node cannot do.
    let rotated = admin.post(&format!("{path}/r1/rotate"), json!({ "overlap_s": 0 })).await.expect(200);
    assert!(rotated["credentials"].as_str().expect("credentials").contains("USER JWT"));
    // The new credentials live as long as the first ones, however often they are rotated.
    admin.post(&format!("{path}/r1/rotate"), json!({ "overlap_s": 0 })).await.expect(200);
    let end = shown().await["expires_at"].as_str().expect("a time").to_owned();
    let end = OffsetDateTime::parse(&end, &Rfc3339).expect("a time");
    assert!(end - OffsetDateTime::now_utc() <= Duration::from_secs(3_600), "{end}");
    eventually("it is overdue", || async { shown().await["overdue"] == true }).await;
    let refused = admin.post(&format!("{path}/sweep"), json!({})).await.refuses(503, "not_configured");
    assert!(refused["detail"].as_str().expect("a detail").contains("verbatim consumers sweep"), "{refused}");
    assert!(!*tried.cut.borrow(), "nobody was cut");
    assert_eq!(world.runs(&["consumers", "sweep"]).await.code, Some(0));
    let mut cut = tried.cut.clone();
    timeout(Duration::from_secs(1), cut.wait_for(|cut| *cut)).await.expect("in a second").expect("cut");
    assert_eq!(admin.post(&format!("{path}/sweep"), json!({})).await.expect(200)["overdue"], 0);

    // After the removal, the name is free once the credentials are revoked. A node forgets what was parked.
    let creds = admin.post(&format!("{path}/r1/rotate"), json!({ "overlap_s": 0 })).await.expect(200);
    let file = world.dir().join("r1-last.creds");
    fs::write(&file, creds["credentials"].as_str().expect("credentials")).expect("written");
    let tried = Tried::with(world.nats.url(), &file, "r1").await;
    let mut events = tried.durable(&stream, "r1").await.messages().await.expect("events");
    for (text, given) in [("copied", 1), ("refused", 0)] {
        ana.says(&notes, text).await;
        next_of(&mut events).await.ack_with(AckKind::Term).await.expect("sent");
        eventually("it is parked", || async { shown().await["parked"] == 1 }).await;
        if given > 0 {
            // Requests at the same time give it once, and none fails.
            let again = async || admin.post(&format!("{path}/r1/replay"), json!({ "parked": true })).await;
            let both = tokio::join!(again(), again(), again(), again());
            let all = [both.0, both.1, both.2, both.3].map(|one| one.expect(200)["given"].as_u64());
            assert_eq!(all.iter().flatten().sum::<u64>(), given, "{all:?}");
        }
    }
    let operator = jetstream::new(world.nats.client(NatsUser::Operator).await);
    let left = async |stream: &str, subject: &str| {
        let stream = operator.get_stream(stream).await.expect("the stream");
        stream.get_last_raw_message_by_subject(subject).await.is_ok()
    };
    let report = format!("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.r1");
    assert!(left("REPLAY", "replay.r1").await && left("ADVISORIES", &report).await);
    admin.post(&format!("{path}/r1/replay"), json!({ "from": "start", "yes": true })).await.expect(200);
    admin.delete(&format!("{path}/r1")).await.expect(204);
    admin.get(&format!("{path}/r1")).await.refuses(404, "not_found");
    assert!(!left("REPLAY", "replay.r1").await && !left("ADVISORIES", &report).await);
    let renewed = json!({ "name": "r1" });
    let refused = admin.post(path, renewed.clone()).await.refuses(409, "conflict");
    assert!(refused["detail"].as_str().expect("a detail").contains("sweep"), "{refused}");
    let status = world.runs(&["status"]).await;
    assert!(status.stdout.contains("consumer r1  removed  OVERDUE"), "{status:?}");
    assert_eq!(world.runs(&["consumers", "sweep"]).await.code, Some(0));
    admin.post(path, renewed).await.expect(201);
    assert!(world.runs(&["status"]).await.stdout.contains("consumer r1  never_connected"));

    // A consumer that cannot be measured does not hide the figures of the others.
    admin.post(path, json!({ "name": "a1" })).await.expect(201);
    let shows = async |name: &str| {
        let label = format!("verbatim_consumer_lag_seconds{{name=\"{name}\"}}");
        world.nodes[0].metrics().await.contains(&label)
    };
    eventually("it is measured", || async { shows("a1").await }).await;
    world.database.does("update auth.consumer set lanes = '{nonsense}' where name = 'a1'").await;
    eventually("it is not measured", || async { !shows("a1").await }).await;
    eventually("the other one is", || async { shows("r1").await }).await;
    let told = |node: &Node| node.lines_with("could not measure the lag of a consumer").len();
    assert_eq!(told(&world.nodes[0]), 1);
    // A node that has never measured it says so, too, and not each time.
    let other = world.add_node("api").await;
    eventually("the other node says so", || async { told(other) > 0 }).await;
    stays("it says so once", Duration::from_secs(6), || async { told(other) == 1 }).await;
    world.finish().await;
}

#[tokio::test]
async fn the_key_of_a_bot_goes_with_its_consumer_and_no_text_replaces_it() {
    let world = world().await;
    let bootstrap = Program::bootstraps(&world).await;
    let admin = &bootstrap.person;
    let robot = bootstrap.makes("robot", ALL_SCOPES).await.person;
    let path = "/v1/admin/consumers";
    // The scope for consumers does not include the scopes of a service account.
    let keeper = bootstrap.makes("keeper", &["admin:consumers"]).await.person;
    let wanted = json!({ "name": "bot1", "bot": robot.id, "commands_only": true });
    keeper.post(path, wanted.clone()).await.refuses(403, "missing_scope");
    let made = admin.post(path, wanted).await.expect(201);
    assert_eq!(made["streams"], json!([]), "{made}");
    let keys = format!("/v1/admin/services/{}/keys", robot.id);
    let of_name = async |name: &str| {
        let keys = admin.get(&keys).await.expect(200);
        let keys = keys["items"].as_array().expect("keys").clone();
        keys.into_iter().find(|key| key["name"] == format!("nats {name}"))
    };
    let key = of_name("bot1").await.expect("the key of the name");
    let rotate = format!("{keys}/{}/rotate", key["id"].as_str().expect("an id"));
    let refused = admin.post(&rotate, json!({})).await.refuses(409, "conflict");
    assert!(refused["detail"].as_str().expect("a detail").contains("consumers rotate"), "{refused}");
    let ran = world.runs(&["consumers", "remove", "bot1", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(of_name("bot1").await.is_none(), "its key is revoked");

    // A consumer that is refused binds no name: neither one that exists without a bot, ...
    admin.post(path, json!({ "name": "plain" })).await.expect(201);
    let refused =
        admin.post(path, json!({ "name": "plain", "bot": robot.id })).await.refuses(409, "conflict");
    assert!(refused["detail"].as_str().expect("a detail").contains("bot is none and not set"), "{refused}");
    let ran = world.runs(&["consumers", "add", "plain", "--bot", &robot.id]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("bot is none and not set"), "{ran:?}");
    assert!(of_name("plain").await.is_none());
    // ... nor one whose earlier credentials still work.
    let wanted = json!({ "name": "bot2", "bot": robot.id });
    admin.post(path, wanted.clone()).await.expect(201);
    admin.delete(&format!("{path}/bot2")).await.expect(204);
    assert!(of_name("bot2").await.is_none());
    let refused = admin.post(path, wanted).await.refuses(409, "conflict");
    assert!(refused["detail"].as_str().expect("a detail").contains("sweep"), "{refused}");
    assert!(of_name("bot2").await.is_none());
    // The removal of a consumer unbinds its name, even if it was bound by itself.
    let bound = world.runs(&["services", "keys", "add", &robot.id, "--nats-name", "plain"]).await;
    assert_eq!(bound.code, Some(0), "{bound:?}");
    admin.delete(&format!("{path}/plain")).await.expect(204);
    assert!(of_name("plain").await.is_none());
    // So does the removal of what an interrupted command has left of a consumer: only the binding.
    let binds = async || {
        let bound = world.runs(&["services", "keys", "add", &robot.id, "--nats-name", "left"]).await;
        assert_eq!(bound.code, Some(0), "{bound:?}");
    };
    binds().await;
    keeper.delete(&format!("{path}/left")).await.refuses(404, "not_found");
    assert!(of_name("left").await.is_some(), "it may be the name of a service account alone");
    admin.delete(&format!("{path}/left")).await.expect(204);
    assert!(of_name("left").await.is_none());
    admin.delete(&format!("{path}/left")).await.refuses(404, "not_found");
    binds().await;
    let removes = async || world.runs(&["consumers", "remove", "left", "--yes"]).await;
    let ran = removes().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(of_name("left").await.is_none());
    let ran = removes().await;
    assert!(ran.code == Some(1) && ran.stderr.contains("there is no consumer `left`"), "{ran:?}");
    world.finish_without_views().await;
}

#[tokio::test]
async fn one_process_of_an_exclusive_consumer_reads() {
    let world = world().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let stream = format!("CHAT_{}", usize::from_str_radix(&notes.id[34..], 16).expect("hex") / 128);
    let creds = added(&world, "x1", &["--from", "start", "--lanes", "timeline", "--exclusive"]).await;
    assert_eq!(listed(&world, "x1").await["exclusive"], true);
    ana.says(&notes, "first").await;
    let mut readers = Vec::new();
    for _ in 0..2 {
        let tried = Tried::with(world.nats.url(), &creds, "x1").await;
        let durable = tried.durable(&stream, "x1").await;
        let pull = durable.stream().group("one").expires(Duration::from_secs(10));
        readers.push((tried, pull.messages().await.expect("events")));
    }
    let [(_one, first), (_other, second)] = &mut readers[..] else { unreachable!() };
    let event = tokio::select! {
        event = timeout(PATIENCE, first.next()) => (0, event),
        event = timeout(PATIENCE, second.next()) => (1, event),
    };
    let (who, event) = event;
    event.expect("in time").expect("one").expect("an event").double_ack().await.expect("acknowledged");
    for text in ["second", "third"] {
        ana.says(&notes, text).await;
        let (reader, idle) = if who == 0 { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
        let event = timeout(PATIENCE, reader.next()).await.expect("in time").expect("one").expect("an event");
        event.double_ack().await.expect("acknowledged");
        assert!(timeout(Duration::from_millis(100), idle.next()).await.is_err(), "it stands by");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_consumer_with_a_password_gets_its_user_printed_and_its_durables_made() {
    let world = World::start().await;
    let ran = world.runs(&["consumers", "add", "old-reader", "--static", "--from", "start"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("\"log.api.CONSUMER.MSG.NEXT.*.old-reader\""), "{ran:?}");
    assert!(ran.stdout.contains("$VERBATIM_NATS_OLD_READER_PASSWORD"), "{ran:?}");
    assert_eq!(listed(&world, "old-reader").await["state"], "never_connected");
    let ran = world.runs(&["consumers", "rotate", "old-reader"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("VERBATIM_CONSUMERS_KEY_FILE"), "{ran:?}");
    let ran = world.runs(&["consumers", "remove", "old-reader", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world.finish().await;
}

#[tokio::test]
async fn the_leader_of_a_stream_is_killed_while_a_consumer_is_added() {
    let mut world = World::cluster_in_operator_mode(4).await;
    let killed = world.nats.leader_of("CHAT_2").await.expect("a leader");
    let creds = world.dir().join("reader.creds");
    let adds = ["consumers", "add", "reader", "--from", "start", "--out", creds.to_str().expect("text")];
    let adding = world.starts(&adds);
    world.nats.nats(killed).kill9();
    let ended = adding.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if !ended.status.success() {
        // The message says what is left to do, or that the servers did not answer.
        assert!(
            said.contains("CHAT_")
                || said.contains("run the same command again")
                || said.contains("timed out"),
            "{said}"
        );
    }
    eventually("the same command completes it", || async { world.runs(&adds).await.code == Some(0) }).await;
    world.nats.nats(killed).start_again().await.expect("it starts again");
    let reader = Tried::with(world.nats.url(), &creds, "reader").await;
    for stream in ["CHAT_0", "CHAT_1", "CHAT_2", "CHAT_3", "REPLAY"] {
        eventually("its durable is there", || async { reader.finds(stream, "reader").await.is_some() }).await;
    }
    world.add_node("api,gateway,projector").await;
    an_eraser_without_reports_does_not_wait(&world).await;
    world.finish_without_views().await;
}

/// A stream with one copy, which is on a server that is gone, has no leader. Each question about it takes long.
#[tokio::test]
async fn a_stream_without_a_leader_holds_up_the_figures_of_its_own_consumers_only() {
    let mut world = World::cluster_in_operator_mode(2).await;
    let key = world.nats.folder().join("consumers.key").display().to_string();
    world.add_node_with("api,gateway,projector", &[("VERBATIM_CONSUMERS_KEY_FILE", &key)]).await;
    let admin = Program::bootstraps(&world).await.person;
    let ana = world.person("ana").await;
    let adds = async |wanted: Value| admin.post("/v1/admin/consumers", wanted).await.expect(201);
    join_all((0..40).map(|number| adds(json!({ "name": format!("c{number}") })))).await;
    let mut tries = 0;
    let (lunch, last) = loop {
        let (group, name) = (ana.starts_group("Lunch", &[]).await, format!("z{tries}"));
        let wanted = json!({ "name": name, "from": "start", "conversations": [group.id] });
        if adds(wanted).await["streams"] == json!(["CHAT_1"]) {
            break (group, name);
        }
        tries += 1;
    };
    let lag = async || {
        let metrics = world.nodes[0].metrics().await;
        let name = format!("verbatim_consumer_lag_events{{name=\"{last}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    eventually("the last one is measured", || async { lag().await.is_some() }).await;
    let before = lag().await.expect("measured");

    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("connected"));
    let config = operator.get_stream("CHAT_0").await.expect("the stream").cached_info().config.clone();
    operator.update_stream(stream::Config { num_replicas: 1, ..config }).await.expect("one copy");
    let copies = async || world.nats.copies_of("CHAT_0").await.filter(|copies| copies.len() == 1);
    eventually("it has one copy", || async { copies().await.is_some() }).await;
    let only = copies().await.expect("one")[0];
    world.nats.nats(only).kill9();
    let told = || world.nodes[0].lines_with("could not measure the lag of a consumer").len();
    eventually("its consumers are not measured", || async { told() > 0 }).await;
    ana.says(&lunch, "soon").await;
    let limit = Duration::from_secs(15);
    eventually_within(limit, "the last one is measured", || async { lag().await > Some(before) }).await;
    world.nats.nats(only).start_again().await.expect("it starts again");
    world.finish_without_views().await;
}
