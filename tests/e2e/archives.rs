//! An archive of the log and the accounts, and restores from it.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use async_nats::jetstream::{self, consumer::PullConsumer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use verbatim::{clock::Clock, dev::NatsUser};

use crate::world::{Backbone, Conversation, Database, PASSWORD, Person, Ran, World, ask, eventually, signal};

const ALL: &str = "api,gateway,projector";

/// The place of the archive of a story.
pub fn place<B: Backbone>(world: &World<B>) -> String {
    match &world.storage {
        Some(storage) => storage.place(),
        None => format!("dir:{}", folder(world).display()),
    }
}

/// The folder with the files of the archive, even if it is in a bucket.
pub fn folder<B: Backbone>(world: &World<B>) -> PathBuf {
    let place = world.dir().join("archive");
    if world.storage.is_some() { place.join("chat") } else { place }
}

pub async fn creates<B: Backbone>(world: &World<B>) -> Ran {
    let ran = world.runs(&["backup", "create", "--now", "--to", &place(world)]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

pub async fn verifies<B: Backbone>(world: &World<B>) -> Ran {
    world.runs(&["backup", "verify", "--to", &place(world)]).await
}

/// Restores the archive, with additional arguments.
pub async fn restores<B: Backbone>(world: &World<B>, arguments: &[&str]) -> Ran {
    let from = place(world);
    world.runs(&[&["restore", "--from", &*from], arguments].concat()).await
}

/// Two people in a conversation with messages.
async fn talk(world: &World, texts: usize) -> (Person, Person, Conversation, u64) {
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut last = 0;
    for n in 0..texts {
        last = ana.says(&lunch, &format!("text {n}")).await["position"].as_u64().expect("position");
    }
    ana.history(&lunch, last).await;
    (ana, ben, lunch, last)
}

pub fn shard(id: &str) -> usize {
    usize::from_str_radix(&id[id.len() - 2..], 16).expect("hex")
}

/// A durable consumer acknowledges the first half of the stream of a conversation.
async fn reads_half(world: &World, to: &Conversation, last: u64) {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream(format!("CHAT_{}", shard(&to.id) * 2 / 256)).await.expect("the stream");
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("reader".into()),
        ack_policy: jetstream::consumer::AckPolicy::All,
        ..Default::default()
    };
    let durable: PullConsumer = stream.create_consumer(config).await.expect("a durable");
    let count = usize::try_from(last / 2).expect("a number");
    let messages = durable.fetch().max_messages(count).messages().await.expect("messages");
    let last: Vec<_> = messages.collect().await;
    let last = last.into_iter().next_back().expect("a message").expect("a message");
    last.double_ack().await.expect("acknowledged");
}

/// Loses the data folders of both servers.
pub async fn loses_everything(world: &mut World) {
    world.nodes[0].stop().await;
    world.loses_the_log().await;
    loses_the_database(world).await;
}

pub async fn loses_the_database<B: Backbone>(world: &mut World<B>) {
    let lost = std::mem::replace(&mut world.database, Database::new().await);
    lost.drop().await;
}

/// The number of messages in the views.
async fn messages(world: &World) -> i64 {
    world.database.finds("select count(*) from view.message").await
}

async fn starts_again(world: &mut World) {
    world.nodes[0] = world.begins_node(ALL, &[]).await.serves().await;
}

/// The events of AUDIT of a type.
pub async fn audited<B: Backbone>(world: &World<B>, word: &str) -> Vec<Value> {
    let ran = world.runs(&["audit", "tail", "--from", "1"]).await;
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["type"] == word).collect()
}

/// The segments of a stream, in order.
pub fn segments<B: Backbone>(world: &World<B>, stream: &str) -> Vec<PathBuf> {
    segments_in(&folder(world), stream)
}

fn segments_in(archive: &Path, stream: &str) -> Vec<PathBuf> {
    let log = archive.join("log");
    let epoch = std::fs::read_dir(log).expect("a folder").next().expect("an epoch").expect("an entry").path();
    let mut files: Vec<PathBuf> = std::fs::read_dir(epoch.join(stream))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let first = |path: &Path| -> u64 {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        name.split_once('-').expect("two positions").0.parse().expect("a position")
    };
    files.sort_by_key(|path| first(path));
    files
}

#[tokio::test]
async fn what_was_lost_comes_back_at_the_same_positions_in_another_epoch() {
    comes_back(World::with_streams(2).await).await;
}

#[tokio::test]
async fn what_was_lost_comes_back_from_a_bucket() {
    comes_back(World::with_streams(2).await.with_a_bucket().await).await;
}

async fn comes_back(mut world: World) {
    let (ana, ben, lunch, last) = talk(&world, 700).await;
    let cursor = ben.connects().await.cursor();
    reads_half(&world, &lunch, last).await;
    let created = creates(&world).await;
    assert!(created.stdout.starts_with("backup/"), "{created:?}");
    let listed = world.runs(&["backup", "list", "--to", &place(&world)]).await;
    assert!(listed.stdout.contains(&format!("={last}")), "{listed:?}");
    loses_everything(&mut world).await;

    let planned = restores(&world, &["--plan"]).await;
    assert!(planned.code == Some(0) && planned.stdout.contains("will be created, up to"), "{planned:?}");
    let more = [("VERBATIM_REPLICAS", "3")];
    let refused = world.runs_with(&["restore", "--from", &place(&world)], &more).await;
    assert!(
        refused.code == Some(1) && refused.stderr.contains("set VERBATIM_REPLICAS to fewer"),
        "{refused:?}"
    );
    let more = [("VERBATIM_STREAMS", "4")];
    let refused = world.runs_with(&["restore", "--from", &place(&world), "--plan"], &more).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("set VERBATIM_STREAMS=2"), "{refused:?}");
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    for command in ["verify", "check", "status"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    assert_eq!(messages(&world).await, 700, "the views are built before any node starts");
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    for name in ["ADVISORIES", "REPLAY"] {
        jetstream.get_stream(name).await.expect("the streams of parked events are made");
    }
    let again = restores(&world, &[]).await;
    assert!(again.code == Some(1) && again.stderr.contains("not empty"), "{again:?}");

    starts_again(&mut world).await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    assert_eq!(ana.history(&lunch, last).await.last().map(String::as_str), Some("text 699"));
    assert_eq!(messages(&world).await, 700);
    let mut device = ben.resumes(&cursor).await;
    assert_eq!(device.gets("reset").await["reason"], "epoch_changed");
    let next = ana.says(&lunch, "and on").await["position"].as_u64().expect("position");
    assert_eq!(next, last + 1);
    let login = json!({ "username": ana.name, "password": PASSWORD });
    ask(ana.address, reqwest::Method::POST, "/v1/logins", Some(login)).await.expect(201);
    let told = audited(&world, "log.restored").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0]["data"]["lost_after"].as_object().is_some_and(|ends| ends.values().any(|end| *end == last))
    );
    // The consumer continues: events that it acknowledged before the backup are not delivered again.
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = format!("CHAT_{}", shard(&lunch.id) * 2 / 256);
    let durable: PullConsumer =
        jetstream.get_consumer_from_stream("reader", stream).await.expect("the durable");
    let mut fetched = durable.fetch().max_messages(1).messages().await.expect("messages");
    let first = fetched.next().await.expect("a message").expect("a message");
    assert_eq!(first.info().expect("positions").stream_sequence, last / 2 + 1);
    world.finish().await;
}

/// Copies a folder.
fn copies(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let copy = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copies(&entry.path(), &copy),
            false => drop(std::fs::copy(entry.path(), copy).expect("copied")),
        }
    }
}

#[tokio::test]
async fn a_restore_to_a_time_or_a_position_ends_exactly_there() {
    let mut world = World::start().await;
    let (ana, _ben, lunch, last) = talk(&world, 5).await;
    creates(&world).await;
    let older = world.dir().join("older");
    let other = world.dir().join("other");
    copies(&folder(&world), &older);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let time: String = world
        .database
        .finds(r#"select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    for n in 5..9 {
        ana.says(&lunch, &format!("text {n}")).await;
        if n == 6 {
            // Another archive ends its first segment elsewhere.
            let ran = world
                .runs(&["backup", "create", "--now", "--to", &format!("dir:{}/", other.display())])
                .await;
            assert_eq!(ran.code, Some(0), "{ran:?}");
        } else if n > 6 {
            creates(&world).await;
        }
    }
    // The log has other copies than when the archive was begun.
    let file = folder(&world).join("HEAD.json");
    let head = || serde_json::from_slice::<Value>(&std::fs::read(&file).expect("a file")).expect("JSON");
    let mut before = head();
    before["replicas"] = 3.into();
    std::fs::write(&file, before.to_string()).expect("written");
    creates(&world).await;
    assert_eq!(head()["replicas"], 1);
    loses_everything(&mut world).await;
    let restored = restores(&world, &["--to-time", &time]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    starts_again(&mut world).await;
    let texts = ana.at(world.nodes[0].address).history(&lunch, last).await;
    assert_eq!(texts, ["text 0", "text 1", "text 2", "text 3", "text 4"]);

    loses_everything(&mut world).await;
    // A segment that was left behind has records that others have, and is restored once.
    let whole = segments(&world, "CHAT_0");
    let stray = segments_in(&other, "CHAT_0").remove(0);
    let there = whole[0].with_file_name(stray.file_name().expect("a name"));
    std::fs::copy(&stray, &there).expect("copied");
    let named = verifies(&world).await;
    assert!(named.code == Some(1) && named.stdout.contains("other segments have its records"), "{named:?}");
    // A restore stops at a bad segment, and then goes neither back to an earlier point nor on with an older archive.
    let bad = segments(&world, "CHAT_0").pop().expect("a segment");
    let good = std::fs::read(&bad).expect("a segment");
    std::fs::write(&bad, "x").expect("damaged");
    let stopped = restores(&world, &[]).await;
    assert!(stopped.code == Some(1) && stopped.stderr.contains("CHAT_0"), "{stopped:?}");
    let earlier = restores(&world, &["--plan", "--to-position", &format!("CHAT_0={last}")]).await;
    assert!(earlier.code == Some(1) && earlier.stderr.contains("CHAT_0 has events after"), "{earlier:?}");
    let older = format!("dir:{}", older.display());
    let refused = world.runs(&["restore", "--plan", "--from", &older]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("has events after"), "{refused:?}");
    std::fs::write(&bad, good).expect("mended");
    let restored = restores(&world, &[]).await;
    assert!(restored.code == Some(0) && restored.stdout.contains("will be continued"), "{restored:?}");
    world.loses_the_log().await;
    loses_the_database(&mut world).await;

    let twice = restores(&world, &["--to-position", "CHAT_0=1,CHAT_0=2"]).await;
    assert!(twice.code == Some(1) && twice.stderr.contains("CHAT_0 twice"), "{twice:?}");
    let unknown = restores(&world, &["--to-position", "CHAT_7=1"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("CHAT_7"), "{unknown:?}");
    let to = format!("CHAT_0={}", last - 2);
    let restored = restores(&world, &["--to-position", &to]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    starts_again(&mut world).await;
    let texts = ana.at(world.nodes[0].address).history(&lunch, last - 2).await;
    assert_eq!(texts, ["text 0", "text 1", "text 2"]);
    world.finish().await;
}

#[tokio::test]
async fn a_segment_that_is_flipped_missing_or_swapped_is_named() {
    names_bad_segments(World::start().await).await;
}

#[tokio::test]
async fn a_segment_that_is_flipped_missing_or_swapped_in_a_bucket_is_named() {
    names_bad_segments(World::start().await.with_a_bucket().await).await;
}

/// Makes the server of a bucket notice files that were changed by hand.
pub async fn changed_by_hand(world: &World) {
    if let Some(storage) = &world.storage {
        storage.start_again().await;
    }
}

async fn names_bad_segments(world: World) {
    let (ana, _ben, lunch, _last) = talk(&world, 1).await;
    for n in 0..3 {
        ana.says(&lunch, &format!("more {n}")).await;
        creates(&world).await;
    }
    let good = verifies(&world).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let files = segments(&world, "CHAT_0");
    assert!(files.len() >= 3, "{files:?}");
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let kept = std::fs::read(&files[1]).expect("a segment");

    let mut flipped = kept.clone();
    flipped[kept.len() / 2] ^= 1;
    std::fs::write(&files[1], flipped).expect("flipped");
    changed_by_hand(&world).await;
    let bad = verifies(&world).await;
    assert!(bad.code == Some(1) && bad.stdout.contains(&name(&files[1])), "{bad:?}");
    assert!(bad.stdout.contains("changed since it was written"), "{bad:?}");

    std::fs::remove_file(&files[1]).expect("removed");
    changed_by_hand(&world).await;
    let bad = verifies(&world).await;
    assert!(bad.code == Some(1) && bad.stdout.contains("is missing"), "{bad:?}");
    let named = bad.stdout.lines().filter(|line| line.starts_with("BAD")).count();
    assert_eq!(named, 1, "the segment after it is intact: {bad:?}");

    std::fs::write(&files[1], std::fs::read(&files[2]).expect("a segment")).expect("swapped");
    std::fs::write(&files[2], &kept).expect("swapped");
    changed_by_hand(&world).await;
    let bad = verifies(&world).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    for swapped in &files[1..3] {
        assert!(bad.stdout.contains(&name(swapped)), "{bad:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_restore_that_is_killed_and_begun_again_comes_to_the_same_end() {
    let mut world = World::start().await;
    let (ana, _ben, lunch, last) = talk(&world, 300).await;
    creates(&world).await;
    loses_everything(&mut world).await;
    let from = place(&world);
    for wait in [150, 400, 700] {
        let mut begun = world.starts(&["restore", "--from", &from]);
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        begun.kill().await.expect("kill");
    }
    let planned = restores(&world, &["--plan"]).await;
    if planned.stdout.contains("will be continued") {
        let checked = world.runs(&["check"]).await;
        assert_eq!(checked.code, Some(1), "nobody serves a log that is half there: {checked:?}");
    }
    let restored = restores(&world, &[]).await;
    let is_done = restored.stderr.contains("not empty");
    assert!(restored.code == Some(0) || is_done, "{restored:?}");
    starts_again(&mut world).await;
    let shown = ana.at(world.nodes[0].address).history(&lunch, last).await;
    assert_eq!(shown.last().map(String::as_str), Some("text 299"));
    assert_eq!(messages(&world).await, 300);
    assert_eq!(audited(&world, "log.restored").await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_restore_goes_on_after_a_server_did_not_answer() {
    let mut world = World::start().await;
    let (ana, _ben, lunch, last) = talk(&world, 3).await;
    creates(&world).await;
    loses_everything(&mut world).await;
    let mut begun = world.starts(&["restore", "--from", &place(&world)]);
    let mut planned = BufReader::new(begun.stdout.take().expect("piped")).lines();
    while planned.next_line().await.expect("a line").expect("a plan") != "the views will be rebuilt" {}
    world.nats.freeze();
    // A request waits for 3 s.
    tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
    world.nats.thaw();
    let ended = begun.wait_with_output().await.expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    starts_again(&mut world).await;
    let texts = ana.at(world.nodes[0].address).history(&lunch, last).await;
    assert_eq!(texts, ["text 0", "text 1", "text 2"]);
    world.finish().await;
}

#[tokio::test]
async fn nobody_makes_a_log_of_which_a_restore_has_made_audit_alone() {
    let mut world = World::start().await;
    loses_everything(&mut world).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let audit = jetstream::stream::Config {
        name: "AUDIT".into(),
        subjects: vec!["audit.>".into()],
        metadata: [("verbatim.reads".to_owned(), "restoring".to_owned())].into(),
        ..Default::default()
    };
    jetstream.create_stream(audit).await.expect("AUDIT, as an interrupted restore leaves it");
    for command in ["check", "migrate"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        assert!((ran.stdout.clone() + &ran.stderr).contains("is being restored"), "{command}: {ran:?}");
    }
    assert!(jetstream.get_stream("CHAT_0").await.is_err(), "no stream was made");
    world.finish_without_views().await;
}

#[tokio::test]
async fn nothing_is_archived_beyond_a_hole_that_nothing_explains() {
    let world = World::start().await;
    let (_ana, _ben, _lunch, last) = talk(&world, 5).await;
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    stream.delete_message(last - 2).await.expect("an operator may");
    let refused = world.runs(&["backup", "create", "--to", &place(&world)]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = format!("CHAT_0 cannot be read beyond {}", last - 3);
    assert!(refused.stderr.contains(&told) && refused.stderr.contains("nothing explains it"), "{refused:?}");
    world.finish_without_views().await;
}

/// Starts to restore the archive into temporary servers, and stops in between.
async fn verifying_deeply_leaves_nothing_behind(world: &World) {
    let folder = world.dir().join("temporary");
    std::fs::create_dir(&folder).expect("a folder");
    let files = || std::fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path());
    let arguments = ["backup", "verify", "--deep", "--to", &place(world)];
    let started = world.starts_with(&arguments, &[("TMPDIR", folder.to_str().expect("UTF-8"))]);
    let pid = started.id().expect("it runs");
    eventually("it has a folder", || async { files().next().is_some() }).await;
    let own = files().next().expect("a folder");
    assert_eq!(std::fs::metadata(&own).expect("a folder").permissions().mode() & 0o777, 0o711);
    assert!(!own.to_str().expect("UTF-8").contains(&pid.to_string()), "nobody can guess {}", own.display());
    signal(pid, "TERM").await;
    let ran = Ran::of(started.wait_with_output().await.expect("it ends"));
    assert!(ran.code == Some(1) && ran.stderr.contains("stopped before"), "{ran:?}");
    assert_eq!(files().count(), 0, "{ran:?}");
}

#[tokio::test]
async fn an_archiver_writes_within_seconds_what_was_said() {
    let mut world = World::empty(1).await;
    let archive = place(&world);
    world.add_node_with("api,gateway,projector,archiver", &[("VERBATIM_ARCHIVE", &archive)]).await;
    let (_ana, _ben, _lunch, last) = talk(&world, 3).await;
    let head = folder(&world).join("HEAD.json");
    eventually("the archive has all", || async {
        let head = std::fs::read(&head).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        head.is_some_and(|head| head["ends"]["CHAT_0"]["last"].as_u64() >= Some(last))
    })
    .await;
    creates(&world).await;
    let good = verifies(&world).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    verifying_deeply_leaves_nothing_behind(&world).await;
    let pruned = world.runs(&["backup", "prune", "--keep", "35d", "--to", &archive]).await;
    assert!(pruned.code == Some(0) && pruned.stdout.contains("0 removed"), "{pruned:?}");
    // An interrupted dump has rows of accounts, but no document that names it.
    let begun = "backup/2026-01-02T03:04:05.678Z";
    std::fs::create_dir(folder(&world).join(begun)).expect("a folder");
    let pruned = world.runs(&["backup", "prune", "--keep", "35d", "--to", &archive]).await;
    assert!(
        pruned.code == Some(0) && pruned.stdout.contains(&format!("removed {begun}\n1 removed")),
        "{pruned:?}"
    );
    assert!(!folder(&world).join(begun).exists());

    let told = world.nodes[0].metrics().await;
    for metric in ["written", "accounts"] {
        let name = format!("verbatim_archive_{metric}_timestamp_seconds ");
        let at = told.lines().find_map(|line| line.strip_prefix(&name)?.parse::<i64>().ok()).expect("a time");
        assert!((Clock::system().now().datetime().unix_timestamp() - at).abs() < 60, "{name}{at}");
    }
    let checks = async |place: &str| world.runs_with(&["check"], &[("VERBATIM_ARCHIVE", place)]).await;
    let fine = checks(&archive).await;
    assert!(fine.code == Some(0) && fine.stdout.contains("ok       archive"), "{fine:?}");
    for warning in ["was last written at", "does not exist"] {
        assert!(!fine.stdout.contains(warning), "{fine:?}");
    }
    // What was archived, and is no longer.
    let text = std::fs::read_to_string(&head).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["at"] = "2026-01-02T03:04:05.678Z".into();
    let late = world.dir().join("late");
    std::fs::create_dir(&late).expect("a folder");
    std::fs::write(late.join("HEAD.json"), manifest.to_string()).expect("a manifest");
    let missing = world.dir().join("late/missing");
    for (place, code, says) in [
        (&late, 0, "was last written at 2026-01-02T03:04:05.678Z"),
        (&missing, 0, "missing does not exist, and the archiver will create it"),
        (&missing, 0, "missing has no archive yet: start an archiver"),
        (&late.join("HEAD.json"), 1, "REFUSED  archive: "),
    ] {
        let checked = checks(&format!("dir:{}", place.display())).await;
        assert!(checked.code == Some(code) && checked.stdout.contains(says), "{says}: {checked:?}");
    }
    assert!(!missing.exists(), "`check` only looks");
    world.finish().await;
}
