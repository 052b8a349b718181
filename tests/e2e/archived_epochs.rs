//! An archive keeps one log through all its epochs, and no other log.

use std::{fs, time::Duration};

use async_nats::jetstream;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::{sleep, timeout},
};
use verbatim::dev::NatsUser;

use crate::{
    archives::{creates, folder, loses_everything, loses_the_database, place, restores, segments, verifies},
    erased_archives::with,
    erasing::{asks, eventually_long, receipt, starts_eraser},
    world::{Conversation, PATIENCE, Person, Program, World, eventually, signal},
};

const ROLES: &str = "api,gateway,projector,archiver";
const TEXTS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// A text that is erased before the new epoch is archived that far.
const ERASED: &str = "okapi-4711-grazing";

async fn talks(world: &World) -> (Person, Conversation, u64) {
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut last = 0;
    for text in TEXTS {
        last = ana.says(&notes, text).await["position"].as_u64().expect("position");
    }
    ana.history(&notes, last).await;
    (ana, notes, last)
}

/// The manifest of an epoch, or the latest one.
fn manifest(world: &World, epoch: Option<&str>) -> Option<Value> {
    let name = epoch.map_or("HEAD.json".into(), |epoch| format!("log/{epoch}/HEAD.json"));
    let text = fs::read(folder(world).join(name)).ok()?;
    Some(serde_json::from_slice(&text).expect("JSON"))
}

fn latest(world: &World) -> String {
    let latest = manifest(world, None).expect("a manifest");
    latest["epoch"].as_str().expect("an epoch").to_owned()
}

async fn checks(world: &World) -> String {
    let archive = place(world);
    world.runs_with(&["check"], &[("VERBATIM_ARCHIVE", &archive)]).await.stdout
}

#[tokio::test]
async fn an_archive_refuses_another_log_and_loses_nothing_to_it() {
    let mut world = World::start().await;
    let (ana, notes, _) = talks(&world).await;
    creates(&world).await;
    let own = latest(&world);
    let files = segments(&world, "CHAT_0");
    // An earlier version, started with a wrong setting, has put the manifest of another log in the place of ours.
    let head = folder(&world).join("HEAD.json");
    let mut other = manifest(&world, None).expect("a manifest");
    fs::rename(&head, folder(&world).join(format!("log/{own}/HEAD.json"))).expect("moved");
    (other["epoch"], other["ends"]) = ("f".repeat(32).into(), serde_json::json!({}));
    fs::write(&head, other.to_string()).expect("written");
    let checked = checks(&world).await;
    assert!(checked.contains("REFUSED  archive") && checked.contains("another place"), "{checked}");
    let last = ana.says(&notes, "six").await["position"].as_u64().expect("position");
    let written = |file| fs::metadata(file).and_then(|file| file.modified()).expect("it is there");
    let before: Vec<_> = files.iter().map(written).collect();
    creates(&world).await;
    assert_eq!(latest(&world), own);
    assert_eq!(files.iter().map(written).collect::<Vec<_>>(), before, "no segment was written again");
    assert!(manifest(&world, Some(&own)).is_none() && manifest(&world, Some(&"f".repeat(32))).is_some());
    let verified = verifies(&world).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(checks(&world).await.contains("ok       archive"));

    // A new log is refused, and nothing changes in the archive.
    fs::remove_dir_all(folder(&world).join(format!("log/{}", "f".repeat(32)))).expect("removed");
    loses_everything(&mut world).await;
    assert_eq!(world.runs(&["migrate"]).await.code, Some(0));
    let before = fs::read(&head).expect("a manifest");
    let refused = world.runs(&["backup", "create", "--now", "--to", &place(&world)]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("did not begin from it"), "{refused:?}");
    let checked = checks(&world).await;
    assert!(checked.contains("REFUSED  archive") && checked.contains("another place"), "{checked}");
    assert_eq!(fs::read(&head).expect("a manifest"), before);
    // Without a manifest, its segments would all be removed.
    world.loses_the_log().await;
    loses_the_database(&mut world).await;
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    let texts = ana.at(world.nodes[0].address).history(&notes, last).await;
    assert_eq!(texts, [&TEXTS[..], &["six"]].concat());
    eventually("the archive follows", || async { latest(&world) != own }).await;
    world.nodes[0].stop().await;
    let now = latest(&world);
    let aside = world.dir().join("aside");
    fs::rename(&head, &aside).expect("moved");
    let refused = world.runs(&["backup", "create", "--now", "--to", &place(&world)]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("put HEAD.json back"), "{refused:?}");
    let checked = checks(&world).await;
    assert!(checked.contains("REFUSED  archive") && checked.contains("put HEAD.json back"), "{checked}");
    fs::rename(&aside, &head).expect("moved back");
    creates(&world).await;
    assert_eq!(latest(&world), now);
    world.finish().await;
}

#[tokio::test]
async fn the_epoch_before_is_restored_until_the_new_one_is_archived() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, notes, last) = talks(&world).await;
    let erased = ana.says(&notes, ERASED).await["position"].as_u64().expect("position");
    creates(&world).await;
    let first = latest(&world);
    let of_first = folder(&world).join(format!("log/{first}"));
    assert_eq!(with(ERASED, &of_first).len(), 1);
    world.nodes[0].stop().await;
    let begun = world.runs(&["log", "begin-epoch"]).await;
    assert_eq!(begun.code, Some(0), "{begun:?}");
    world.nodes[0] = world.begins_node("api,gateway,projector", &[]).await.serves().await;
    let program = Program { person: program.person.at(world.nodes[0].address), ..program };
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&notes, erased)]).await;
    eventually_long("the log has nothing left", async || {
        receipt(&program, &id).await["log_done_at"].is_string()
    })
    .await;
    eraser.kill().await.expect("it runs");
    world.nodes[0].stop().await;
    // The archiver of the new epoch does not come to its end.
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = jetstream.get_stream("CHAT_0").await.expect("the stream");
    let second = stream.cached_info().config.metadata["verbatim.epoch"].clone();
    stream.delete_message(last - 2).await.expect("an operator may");
    let refused = world.runs(&["backup", "create", "--now", "--to", &place(&world)]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing explains it"), "{refused:?}");
    assert_eq!(latest(&world), first);
    let ends = |epoch| manifest(&world, Some(epoch)).expect("a manifest")["ends"]["CHAT_0"]["last"].as_u64();
    assert_eq!(ends(&second), Some(last - 3));
    // What is erased goes out of the epoch before, although the new one is not archived that far.
    let at = |epoch| manifest(&world, epoch).expect("a manifest")["at"].clone();
    let kept_up = at(Some(&second));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = free.local_addr().expect("its address").to_string();
    drop(free);
    let listens = ["--admin-listen", &admin];
    let mut archiver = world.starts(&[&["archive", "--archive", &place(&world)], &listens[..]].concat());
    eventually_long("the epoch before is rewritten", async || with(ERASED, &of_first).is_empty()).await;
    // Its metrics show that it archives. A second archiver, which finds the address taken, archives without them.
    let told = reqwest::get(format!("http://{admin}/metrics")).await.expect("an answer");
    let told = told.text().await.expect("text");
    let value = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.trim().parse::<f64>().expect("a number")
    };
    assert!(value("verbatim_archive_written_timestamp_seconds ") > 1.7e9, "{told}");
    assert_eq!((value("verbatim_ready "), value("verbatim_failed_tasks_total ")), (1.0, 0.0));
    assert!(!told.contains("verbatim_nats_up"), "it does not survey the log: {told}");
    let mut second_one = world.starts(&[&["archive", "--archive", &place(&world)], &listens[..]].concat());
    let mut lines = BufReader::new(second_one.stderr.take().expect("its log")).lines();
    let warned = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains("set VERBATIM_ADMIN_LISTEN to another address") {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, warned).await.expect("in time"), "it does not warn");
    signal(second_one.id().expect("it runs"), "HUP").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(second_one.try_wait().expect("its state"), None, "it archives nevertheless");
    second_one.kill().await.expect("it runs");
    archiver.kill().await.expect("it runs");
    // The archive of a stream that is stuck does not keep up, although its archiver runs.
    assert_eq!((at(Some(&second)), latest(&world)), (kept_up, first.clone()));
    let head = folder(&world).join("HEAD.json");
    let mut late = manifest(&world, None).expect("a manifest");
    late["at"] = "2026-01-02T03:04:05.678Z".into();
    fs::write(&head, late.to_string()).expect("written");
    let checked = checks(&world).await;
    assert!(checked.contains(&format!("{second}, is not archived completely yet")), "{checked}");
    assert!(!checked.contains("nobody archives"), "it is being archived: {checked}");

    world.loses_the_log().await;
    let restored = restores(&world, &[]).await;
    assert!(
        restored.code == Some(0) && restored.stdout.contains(&format!("from epoch {first}")),
        "{restored:?}"
    );
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    assert_eq!(ana.at(world.nodes[0].address).history(&notes, last).await, TEXTS);
    eventually("the restored log is archived", || async {
        let now = latest(&world);
        now != first && manifest(&world, Some(&now)).is_none()
    })
    .await;
    let third = latest(&world);
    assert_eq!(manifest(&world, None).expect("a manifest")["former"][0], *first);
    assert!(manifest(&world, Some(&first)).is_some());
    let verified = verifies(&world).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");

    // A log that is made anew, empty, goes on in the same archive, and the epoch before can still be restored.
    world.nodes[0].stop().await;
    world.loses_the_log().await;
    assert_eq!(world.runs(&["log", "recreate"]).await.code, Some(0));
    // The database remembers the epoch of the archive, even though it is lost a second time before it is archived.
    world.loses_the_log().await;
    let planned = restores(&world, &["--plan"]).await;
    assert!(
        planned.code == Some(0) && planned.stdout.contains(&format!("from epoch {third}")),
        "{planned:?}"
    );
    assert_eq!(world.runs(&["log", "recreate"]).await.code, Some(0));
    creates(&world).await;
    assert!(![first, third.clone()].contains(&latest(&world)));
    world.loses_the_log().await;
    let unknown = restores(&world, &["--epoch", "none"]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("has no such epoch"), "{unknown:?}");
    // A request of the retention in the epoch after it names a position, and not the message that was there.
    let retention = format!(
        "update auth.erasure_conversation set positions = '{{{last}}}', events = '{{}}', told_at = 1000"
    );
    world.database.does(&retention).await;
    let told = "select count(*) from auth.erasure_conversation where told_at = 1000";
    assert_eq!(world.database.finds::<i64>(told).await, 1);
    let restored = restores(&world, &["--epoch", &third]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    assert_eq!(ana.at(world.nodes[0].address).history(&notes, last).await, TEXTS);
    creates(&world).await;
    let verified = verifies(&world).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    world.finish().await;
}
