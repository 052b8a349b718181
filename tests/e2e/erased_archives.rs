//! Erased content is also removed from the archive.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use async_nats::jetstream;
use serde_json::{Value, json};
use verbatim::{dev::NatsUser, domain::Time};

use crate::{
    archives::{changed_by_hand, creates, folder, loses_everything, place, restores, segments, verifies},
    erasing::{
        MARKER, asks, eventually_long, files_of_database, is_done, receipt, says_the_marker, starts_eraser,
        with_marker,
    },
    world::{PASSWORD, Person, Program, World, eventually, position, stays},
};

/// A text that is erased later than the marker.
const LATER: &str = "okapi-0815-grazing";
/// The roles of a node that also archives.
const ROLES: &str = "api,gateway,projector,archiver";

/// A file of an archive, decompressed.
fn content(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let bytes = match path.extension().is_some_and(|end| end == "zst") {
        true => zstd::stream::decode_all(&*bytes).expect("frames"),
        false => bytes,
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The files below a folder of an archive that contain a text.
pub fn with(text: &str, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut found = Vec::new();
    for path in entries {
        match path.is_dir() {
            true => found.extend(with(text, &path)),
            false => found.extend(content(&path).contains(text).then_some(path)),
        }
    }
    found
}

/// Whether the archive has all of AUDIT.
async fn audit_is_archived(world: &World) -> bool {
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let last = operator.get_stream("AUDIT").await.expect("AUDIT").cached_info().state.last_sequence;
    let head = fs::read(folder(world).join("HEAD.json")).expect("an archive");
    let head: Value = serde_json::from_slice(&head).expect("JSON");
    head["ends"]["AUDIT"]["last"].as_u64() >= Some(last)
}

async fn is_clean(world: &World) {
    let verified = verifies(world).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// Verifies an archive with a changed file, and asserts that the file is named.
async fn names(world: &World, path: &Path, why: &str) {
    changed_by_hand(world).await;
    let verified = verifies(world).await;
    assert!(verified.code == Some(1) && verified.stdout.contains(why), "{verified:?}");
    let name = path.file_name().expect("a name").to_string_lossy();
    assert!(why.contains("missing") || verified.stdout.contains(&*name), "{verified:?}");
}

#[tokio::test]
async fn what_is_erased_goes_out_of_the_archive_and_out_of_its_former_epochs() {
    goes_out(World::empty(1).await).await;
}

#[tokio::test]
async fn what_is_erased_goes_out_of_a_bucket() {
    goes_out(World::empty(1).await.with_a_bucket().await).await;
}

async fn goes_out(mut world: World) {
    let archive = place(&world);
    world.add_node_with(ROLES, &[("VERBATIM_ARCHIVE", &archive)]).await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut erased = Vec::new();
    for n in 0..4 {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
        ben.says(&lunch, "and so on").await;
    }
    let later = position(&ben.says(&lunch, LATER).await);
    creates(&world).await;
    assert!(!with(MARKER, &folder(&world)).is_empty() && !with(LATER, &folder(&world)).is_empty());

    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &erased).await;
    let done = is_done(&program, &id).await;
    let time = |field: &str| done[field].as_str().and_then(|time| time.parse::<Time>().ok()).expect(field);
    assert!(time("log_done_at") <= time("archive_done_at") && time("archive_done_at") <= time("done_at"));
    let kept = Duration::from_secs(35 * 86_400);
    assert!(time("backups_gone_by") <= time("done_at").plus(kept), "{done}");
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);
    assert!(!with(LATER, &folder(&world)).is_empty(), "all else stays");
    is_clean(&world).await;

    // A rewritten segment is protected like all others.
    let files = segments(&world, "CHAT_0");
    let rewritten = files.iter().find(|path| content(path).contains("\"rewritten\":[\""));
    let rewritten = rewritten.expect("a segment that names its former checksum");
    let kept = fs::read(rewritten).expect("a segment");
    let mut flipped = kept.clone();
    flipped[kept.len() / 2] ^= 1;
    fs::write(rewritten, flipped).expect("flipped");
    names(&world, rewritten, "changed since it was written").await;
    fs::remove_file(rewritten).expect("removed");
    names(&world, rewritten, "is missing").await;
    fs::write(rewritten, kept).expect("put back");
    changed_by_hand(&world).await;

    // The last backup knows these accounts as they were before.
    let (carl, dora) = (world.person("carl").await, world.person("dora").await);
    creates(&world).await;
    let ask = async |scope: &str| {
        let body = json!({ "user_id": carl.id, "scope": scope, "reason_code": "request" });
        program.person.post("/v1/admin/erasures", body).await
    };
    is_done(&program, ask("account").await.expect(202)["id"].as_str().expect("an id")).await;
    ask("account").await.refuses(400, "invalid_body");
    ask("account_and_content").await.expect(202);
    assert_eq!(world.runs(&["users", "deactivate", &dora.id]).await.code, Some(0));
    eventually("AUDIT is archived", || async {
        let trail = world.runs(&["audit", "tail"]).await.stdout;
        let is_it = |line: &str| line.contains("account.suspended") && line.contains(&dora.id);
        trail.lines().any(is_it) && audit_is_archived(&world).await
    })
    .await;
    eraser.kill().await.expect("it runs");
    loses_everything(&mut world).await;
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &archive]).await.serves().await;
    let address = world.nodes[0].address;
    let log_in = async |who: &Person| {
        let login = json!({ "username": who.name, "password": PASSWORD });
        ana.at(address).post("/v1/logins", login).await
    };
    log_in(&carl).await.refuses(401, "bad_credentials");
    log_in(&dora).await.refuses(403, "suspended");
    let (ana, program) = (ana.at(address), Program { person: program.person.at(address), ..program });
    let path = format!("/v1/conversations/{}/messages?min_position={later}", lunch.id);
    let page = ana.get(&path).await.expect(200);
    let is_erased = |message: &&Value| message["erased"] == true;
    assert_eq!(page["items"].as_array().expect("items").iter().filter(is_erased).count(), 4, "{page}");
    assert!(page.to_string().contains(LATER) && !page.to_string().contains(MARKER), "{page}");
    ana.sends(&lunch, "the-key-of-0", &format!("{MARKER} 0")).await.refuses(410, "erased");

    // The epoch from before the restore stays in the archive until it is pruned.
    creates(&world).await;
    let epochs = fs::read_dir(folder(&world).join("log")).expect("a folder");
    let epochs = epochs.map(|entry| with(LATER, &entry.expect("an entry").path()));
    assert_eq!(epochs.map(|files| files.len()).collect::<Vec<_>>(), [1, 1]);
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, later)]).await;
    assert!(is_done(&program, &id).await["archive_done_at"].is_string());
    for text in [MARKER, LATER] {
        assert_eq!(with(text, &folder(&world)), [] as [PathBuf; 0]);
    }
    is_clean(&world).await;
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(with_marker(&files_of_database(&world).await), [] as [PathBuf; 0]);
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn an_archiver_that_is_killed_while_it_rewrites_is_followed_by_another_one() {
    let world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let mut erased = Vec::new();
    for n in 0..8 {
        erased.push((&lunch, says_the_marker(&ana, &lunch, n).await));
        creates(&world).await;
    }
    let archived = || with(MARKER, &folder(&world).join("log")).len();
    assert_eq!(archived(), 8);

    // Deleted content is removed even while other content of the request may have to be kept for long.
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &erased).await;
    let log = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    eventually("something is gone", || async {
        let mut stream = log.get_stream("CHAT_0").await.expect("the stream");
        stream.info().await.expect("its state").state.deleted_count >= Some(2)
    })
    .await;
    eraser.kill().await.expect("it runs");
    let starts_archiver =
        || world.starts(&["archive", "--archive", &place(&world), "--admin-listen", "127.0.0.1:0"]);
    let mut archiver = starts_archiver();
    eventually_long("what is gone is taken out", async || archived() < 8).await;
    stays("what is not gone stays", Duration::from_secs(3), async || archived() > 2).await;
    let left = archived();
    assert_eq!(receipt(&program, &id).await["state"], "erasing");

    let eraser = starts_eraser(&world);
    eventually_long("a segment is rewritten", async || archived() < left).await;
    archiver.kill().await.expect("it runs");
    assert!(archived() > 0, "the archiver was faster than its rate");
    is_clean(&world).await;
    let is_verifying = async || receipt(&program, &id).await["state"] == "verifying";
    eventually_long("the log has nothing left", is_verifying).await;
    stays("the erasure waits for the archive", Duration::from_secs(1), is_verifying).await;
    let waits = receipt(&program, &id).await;
    assert!(waits.get("archive_done_at").is_none() && waits["backups_gone_by"].is_string(), "{waits}");

    let half = segments(&world, "CHAT_0")[0].with_file_name("half.unfinished");
    fs::write(&half, MARKER).expect("what a killed archiver may leave");
    let other = starts_archiver();
    let done = is_done(&program, &id).await;
    assert!(done["archive_done_at"].is_string(), "{done}");
    assert_eq!(archived(), 0);
    assert!(!half.exists());
    is_clean(&world).await;
    for mut process in [other, eraser] {
        process.kill().await.expect("it runs");
    }
    world.finish().await;
}

/// Hidden content may have to be kept, so the archive has it for as long as the log.
#[tokio::test]
async fn what_is_hidden_and_not_gone_is_archived_and_comes_back_hidden() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let position = says_the_marker(&ana, &lunch, 1).await;
    let id = asks(&program, &[(&lunch, position)]).await;
    eventually_long("it is hidden", async || receipt(&program, &id).await["views_done_at"].is_string()).await;
    creates(&world).await;
    assert_eq!(with(MARKER, &folder(&world)).len(), 1);
    loses_everything(&mut world).await;
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    let address = world.nodes[0].address;
    let (ana, program) = (ana.at(address), Program { person: program.person.at(address), ..program });
    let path = format!("/v1/conversations/{}/messages?min_position={position}", lunch.id);
    let page = ana.get(&path).await.expect(200);
    assert!(page["items"][0]["erased"] == true && !page.to_string().contains(MARKER), "{page}");

    let mut eraser = starts_eraser(&world);
    is_done(&program, &id).await;
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

/// The requests survive, and the events that hide their content do not: they were not archived.
#[tokio::test]
async fn what_was_erased_after_the_last_backup_is_hidden_before_anybody_reads_it() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let position = says_the_marker(&ana, &lunch, 3).await;
    let hidden = says_the_marker(&ana, &lunch, 1).await;
    let kept = ana.says(&lunch, LATER).await["position"].as_u64().expect("position");
    creates(&world).await;
    let waits = ana.says(&lunch, "waits").await["position"].as_u64().expect("position");
    let later = json!({
        "messages": [{ "conversation_id": lunch.id, "position": waits }], "reason_code": "request",
        "grace_s": 86_400,
    });
    let later = program.person.post("/v1/admin/erasures", later).await.expect(202);
    let later = later["id"].as_str().expect("an id");
    // Requests of the retention name no events.
    world.database.does("update auth.erasure_conversation set events = '{}'").await;
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, position)]).await;
    is_done(&program, &id).await;
    eraser.kill().await.expect("it runs");
    let second = asks(&program, &[(&lunch, hidden)]).await;
    eventually_long("it is hidden", async || receipt(&program, &second).await["hidden_at"].is_string()).await;
    world.nodes[0].stop().await;
    world.loses_the_log().await;
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    // A restore that is killed in its last step comes to the same end, although it finds more than it would write.
    let log = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let stream = async || log.get_stream("CHAT_0").await.expect("the stream").cached_info().clone();
    let whole = stream().await;
    let mut config = whole.config.clone();
    let from =
        segments(&world, "CHAT_0")[0].iter().rev().nth(2).expect("an epoch").to_string_lossy().into_owned();
    let marks =
        [("verbatim.restored_from", &*from), ("verbatim.reads", "restoring"), ("verbatim.kept", "false")];
    config.metadata.extend(marks.map(|(key, value)| (key.to_owned(), value.to_owned())));
    log.update_stream(config).await.expect("as it was before the last step");
    let again = restores(&world, &[]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let last = stream().await;
    assert_eq!((last.state.last_sequence, &last.config), (whole.state.last_sequence, &whole.config));
    assert!(last.state.last_sequence > kept);

    // From the first answer on, nobody gets the text.
    let starting = world.begins_node(ROLES, &["--archive", &place(&world)]).await;
    world.nodes[0] = starting.serves().await;
    let address = world.nodes[0].address;
    let (ana, program) = (ana.at(address), Program { person: program.person.at(address), ..program });
    let path = format!("/v1/conversations/{}/messages", lunch.id);
    let shown = async || ana.get(&path).await.expect(200);
    eventually("the messages are there", || async {
        let page = shown().await;
        assert!(!page.to_string().contains(MARKER), "{page}");
        page.to_string().contains(LATER)
    })
    .await;
    for n in [1, 3] {
        ana.sends(&lunch, &format!("the-key-of-{n}"), "again").await.refuses(410, "erased");
    }
    // Another message is at the position for which a request waits.
    let others = ana.says(&lunch, "once more").await["position"].as_u64().expect("position");
    assert!(others > waits, "positions are given again");
    world.database.does("update auth.erasure set starts_at = requested_at where hidden_at is null").await;
    let mut eraser = starts_eraser(&world);
    for id in [&id, &second] {
        let done = is_done(&program, id).await;
        assert_eq!(done["counts"]["messages"], 1, "{done}");
        let verified = world.runs(&["erasures", "verify", id]).await;
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
    assert_eq!(is_done(&program, later).await["counts"]["messages"], 0);
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);
    let page = shown().await.to_string();
    assert!(page.contains(LATER) && page.contains("once more"), "{page}");
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn a_backup_rewrites_an_archive_without_an_archiver_and_no_earlier_point_has_the_text() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let said = says_the_marker(&ana, &lunch, 3).await;
    let later = position(&ana.says(&lunch, LATER).await);
    creates(&world).await;
    let segment = with(MARKER, &folder(&world)).pop().expect("it is archived");
    let older = fs::read(&segment).expect("a segment");
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, said)]).await;
    let done = is_done(&program, &id).await;
    assert!(done.get("archive_done_at").is_none() && done["backups_gone_by"].is_string(), "{done}");
    eventually("the audit trail lists what is gone", async || {
        world.runs(&["audit", "tail"]).await.stdout.contains("erasure.positions")
    })
    .await;
    creates(&world).await;
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);
    assert!(receipt(&program, &id).await["archive_done_at"].is_string());
    eraser.kill().await.expect("it runs");

    // This archive once had an archiver, and another one was rewritten before it.
    fs::write(&segment, &older).expect("put back");
    world
        .database
        .does(
            "insert into auth.archive (id, seen_at, is_behind)
                 select archive_id, now() - interval '2 days', false from auth.erasure_archive;
             delete from auth.erasure_archive",
        )
        .await;
    creates(&world).await;
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);

    // The point is before the event that lists the erased content, and the segment is an older copy. The audit trail
    // lists the erased content, too.
    fs::write(&segment, older).expect("put back");
    loses_everything(&mut world).await;
    let restored = restores(&world, &["--to-position", &format!("CHAT_0={later}")]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    let ana = ana.at(world.nodes[0].address);
    let path = format!("/v1/conversations/{}/messages?min_position={later}", lunch.id);
    let items = ana.get(&path).await.expect(200)["items"].clone();
    assert_eq!(
        (&items[1]["erased"], &items[0]["text"], &items[2]),
        (&true.into(), &LATER.into(), &Value::Null)
    );
    is_clean(&world).await;
    world.finish().await;
}

/// The archive has erasures that the restored log does not have, because they are after the point.
#[tokio::test]
async fn what_was_erased_behind_the_point_of_a_restore_stays_erased_with_its_key() {
    let mut world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let program = operator.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let gone = says_the_marker(&ana, &lunch, 3).await;
    let hidden = says_the_marker(&ana, &lunch, 1).await;
    let point = position(&ana.says(&lunch, LATER).await);
    let lost = says_the_marker(&ana, &lunch, 2).await;
    ana.says(&lunch, "in between").await;
    // Another message will be at this position when the time of the request comes.
    let waits = position(&ana.says(&lunch, "waits").await);
    assert_eq!(waits, point + 3);
    let later = json!({
        "messages": [{ "conversation_id": lunch.id, "position": waits }], "reason_code": "request",
        "grace_s": 86_400,
    });
    let later = program.person.post("/v1/admin/erasures", later).await.expect(202);
    let later = later["id"].as_str().expect("an id");
    let mut eraser = starts_eraser(&world);
    is_done(&program, &asks(&program, &[(&lunch, gone), (&lunch, lost)]).await).await;
    eraser.kill().await.expect("it runs");
    let second = asks(&program, &[(&lunch, hidden)]).await;
    eventually_long("it is hidden", async || receipt(&program, &second).await["views_done_at"].is_string())
        .await;
    eventually("the audit trail lists what is gone", async || {
        world.runs(&["audit", "tail"]).await.stdout.contains("erasure.positions")
    })
    .await;
    creates(&world).await;
    loses_everything(&mut world).await;
    let restored = restores(&world, &["--to-position", &format!("CHAT_0={point}")]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");

    world.nodes[0] = world.begins_node(ROLES, &["--archive", &place(&world)]).await.serves().await;
    let address = world.nodes[0].address;
    let (ana, ben) = (ana.at(address), ben.at(address));
    let program = Program { person: program.person.at(address), ..program };
    for (key, text) in [("the-key-of-3", format!("{MARKER} 3")), ("the-key-of-1", format!("{MARKER} 1"))] {
        ana.sends(&lunch, key, &text).await.refuses(410, "erased");
    }
    // Events after the point are lost, erased or not, and their keys are free.
    let again = position(&ana.sends(&lunch, "the-key-of-2", "once more").await.expect(201));
    // Two events list one erased position each again, and no other position.
    assert_eq!(again, point + 3);
    let path = format!("/v1/conversations/{}/messages?min_position={again}", lunch.id);
    let page = ben.get(&path).await.expect(200);
    let shown: Vec<_> =
        page["items"].as_array().expect("items").iter().map(|item| item["erased"] == true).collect();
    assert!(shown == [false, false, true, true] && !page.to_string().contains(MARKER), "{page}");
    let trail = world.runs(&["audit", "tail", "--from", "1"]).await.stdout;
    let mut told = trail.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let told = told.rfind(|event| event["type"] == "log.restored").expect("it is told");
    assert_eq!(
        (&told["data"]["lost_after"]["CHAT_0"], &told["data"]["positions"]["CHAT_0"]),
        (&point.into(), &(point + 2).into()),
        "{told}"
    );
    is_clean(&world).await;

    // The eraser works from the lists in the log.
    let mut eraser = starts_eraser(&world);
    is_done(&program, &second).await;
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    world.database.does("update auth.erasure set starts_at = requested_at where hidden_at is null").await;
    assert_eq!(is_done(&program, later).await["counts"]["messages"], 0);
    assert!(ben.get(&path).await.expect(200).to_string().contains("once more"));
    eraser.kill().await.expect("it runs");
    world.finish().await;
}
