//! An archive in a bucket of object storage. The stories of `archives` and `erased_archives` show that it is the same
//! archive as in a folder.

use reqwest::Method;
use serde_json::Value;

use crate::{
    archives::{changed_by_hand, creates, folder, place, verifies},
    servers::ObjectStorage,
    world::{Node, World, eventually},
};

const ARCHIVER: &str = "archiver";
/// The log line of an archiver that begins.
const BEGUN: &str = "archiving the log";

/// Two people send messages. Returns the last position.
async fn talks(world: &World, texts: &[&str]) -> u64 {
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut last = 0;
    for text in texts {
        last = ana.says(&notes, text).await["position"].as_u64().expect("position");
    }
    last
}

/// The last position of the stream in the archive.
fn archived(world: &World) -> u64 {
    let head = std::fs::read(folder(world).join("HEAD.json")).ok();
    let head = head.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    head.and_then(|head| head["ends"]["CHAT_0"]["last"].as_u64()).unwrap_or_default()
}

fn archivers(nodes: &[Node]) -> usize {
    nodes.iter().filter(|node| !node.lines_with(BEGUN).is_empty()).count()
}

#[tokio::test]
async fn one_of_two_archivers_writes_to_a_bucket_and_the_other_one_takes_over() {
    let mut world = World::start().await.with_a_bucket().await;
    let place = place(&world);
    for _ in 0..2 {
        world.add_node_with(ARCHIVER, &[("VERBATIM_ARCHIVE", &place)]).await;
    }
    let last = talks(&world, &["one"]).await;
    eventually("the archive has it", async || archived(&world) >= last).await;
    assert_eq!(archivers(&world.nodes), 1);
    let first = world.nodes.iter().position(|node| !node.lines_with(BEGUN).is_empty()).expect("one of them");
    world.nodes[first].kill9().await;
    world.nodes.remove(first);
    let last = talks(&world, &["two", "three"]).await;
    eventually("the other one goes on", async || archived(&world) >= last).await;
    assert_eq!(archivers(&world.nodes), 1);
    creates(&world).await;
    let good = verifies(&world).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_archiver_waits_for_a_bucket_that_is_away_and_tells() {
    let mut world = World::start().await.with_a_bucket().await;
    let place = place(&world);
    world.add_node_with(ARCHIVER, &[("VERBATIM_ARCHIVE", &place)]).await;
    let last = talks(&world, &["one"]).await;
    eventually("the archive has it", async || archived(&world) >= last).await;
    assert!(world.nodes[1].metric("verbatim_archive_written_timestamp_seconds").await > 1_700_000_000);
    assert_eq!(world.nodes[1].metric("verbatim_archive_failures_total").await, 0);
    world.storage.as_ref().expect("a bucket").kill9().await;
    let last = talks(&world, &["two", "three"]).await;
    eventually("the archiver tells that it fails", async || {
        world.nodes[1].metric("verbatim_archive_failures_total").await > 0
    })
    .await;
    let told = world.nodes[1].lines_with("could not archive the log; retrying");
    assert!(told.iter().any(|line| line.to_string().contains("no connection")), "{told:?}");
    // Users are not affected.
    assert!(world.nodes[1].says("ready").await && world.nodes[0].says("ready").await);
    assert!(archived(&world) < last);
    world.storage.as_ref().expect("a bucket").start_again().await;
    eventually("the archive has all", async || archived(&world) >= last).await;
    let good = verifies(&world).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_told_with_what_to_do() {
    let world = World::start().await.with_a_bucket().await;
    talks(&world, &["one"]).await;
    let at = place(&world);
    let url = world.storage.as_ref().expect("a bucket").url();
    let missing = format!("s3://nowhere/chat?endpoint={url}");
    let nobody = "s3://archive/chat?endpoint=http://127.0.0.1:1024".to_owned();
    let wrong = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    let unknown = [("AWS_ACCESS_KEY_ID", "wrong")];
    for (place, settings, says) in [
        (&at, &wrong[..], "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (&at, &unknown[..], "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (&missing, &[], "create the bucket nowhere"),
        (&nobody, &[], "127.0.0.1: no connection"),
    ] {
        for command in [&["backup", "create", "--to", place][..], &["backup", "verify", "--to", place]] {
            let ran = world.runs_with(command, settings).await;
            assert!(ran.code == Some(1) && ran.stderr.contains(says), "{command:?} {settings:?}: {ran:?}");
        }
        let settings = [settings, &[("VERBATIM_ARCHIVE", &**place)]].concat();
        let checked = world.runs_with(&["check"], &settings).await;
        assert!(checked.code == Some(1) && checked.stdout.contains(says), "{settings:?}: {checked:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_keys_to_a_bucket_are_read_from_a_file_that_may_be_replaced() {
    let mut world = World::start().await.with_a_bucket().await;
    let place = place(&world);
    let file = world.dir().join("keys");
    let [(_, id), (_, secret)] = world.storage.as_ref().expect("a bucket").settings();
    let writes = |secret: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        std::fs::write(&file, text).expect("a file");
    };
    writes("an old one");
    let settings = [
        ("VERBATIM_ARCHIVE", &*place),
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().expect("a path")),
    ];
    world.add_node_with(ARCHIVER, &settings).await;
    let last = talks(&world, &["one"]).await;
    eventually("the old key is refused", async || {
        !world.nodes[1].lines_with("check AWS_ACCESS_KEY_ID").is_empty()
    })
    .await;
    writes(secret);
    eventually("the archive has it", async || archived(&world) >= last).await;
    world.finish().await;
}

#[tokio::test]
async fn more_objects_than_a_server_lists_at_once_are_listed_and_removed() {
    let world = World::start().await.with_a_bucket().await;
    talks(&world, &["one"]).await;
    creates(&world).await;
    let begun = "backup/2026-01-02T03:04:05.678Z";
    let old = folder(&world).join(begun);
    std::fs::create_dir(&old).expect("a folder");
    for n in 0..2_100 {
        std::fs::write(old.join(format!("{n}.copy.zst")), "x").expect("a file");
    }
    changed_by_hand(&world).await;
    let pruned = world.runs(&["backup", "prune", "--keep", "35d", "--to", &place(&world)]).await;
    assert!(
        pruned.code == Some(0) && pruned.stdout.contains(&format!("removed {begun}\n1 removed")),
        "{pruned:?}"
    );
    assert!(!old.exists() || std::fs::read_dir(&old).expect("a folder").next().is_none());
    let listed = world.runs(&["backup", "list", "--to", &place(&world)]).await;
    assert!(listed.code == Some(0) && listed.stdout.lines().count() == 1, "{listed:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_archiver_writes_nothing_over_what_another_process_has_written_meanwhile() {
    let mut world = World::start().await;
    world.storage = Some(ObjectStorage::that_compares(true).await);
    let at = place(&world);
    world.add_node_with(ARCHIVER, &[("VERBATIM_ARCHIVE", &at)]).await;
    talks(&world, &["one"]).await;
    let (head, storage) = ("/chat/HEAD.json", world.storage.as_ref().expect("a bucket"));
    let read = async || {
        let answer = storage.asks(Method::GET, head, "").await.text().await.expect("text");
        serde_json::from_str::<Value>(&answer).unwrap_or_default()
    };
    eventually("there is a manifest", async || read().await["epoch"].is_string()).await;
    eventually("versions are warned of", async || {
        !world.nodes[1].lines_with("keeps older versions").is_empty()
    })
    .await;

    // Another process writes the same manifest with a mark. An archiver that overwrites blindly would not notice it.
    let marked = format!("{}\n\n", read().await);
    assert!(storage.asks(Method::PUT, head, &marked).await.status().is_success());
    eventually("the archiver sees that it is not alone", async || {
        !world.nodes[1].lines_with("another archiver has taken over the archive").is_empty()
    })
    .await;
    let last = talks(&world, &["two", "three"]).await;
    eventually("it goes on from there", async || {
        read().await["ends"]["CHAT_0"]["last"].as_u64() >= Some(last)
    })
    .await;
    let good = verifies(&world).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let checked = world.runs_with(&["check"], &[("VERBATIM_ARCHIVE", &at)]).await;
    assert!(checked.code == Some(0) && checked.stdout.contains("WARNING  archive"), "{checked:?}");
    world.finish().await;
}
