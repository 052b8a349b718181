//! Retention: older messages are shown nowhere, and are then erased.

use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::{
    archives::{creates, loses_everything, place, restores},
    erasing::{MARKER, eventually_long, files_of_database, starts_eraser, with_marker},
    exports::downloaded,
    webhooks::{adds, with_nodes},
    world::{Conversation, Person, Program, Received, Receiver, World, assert_linked, eventually, position},
};

/// The advisory lock of the node that requests the erasure of expired messages.
const TURN: i64 = 0x5645_5242_4558_5049;
const ROLES: &str = "api,gateway,projector,archiver";
/// The text of a message that was pinned before it expired.
const PINNED: &str = "keep this one";

async fn keeps(owner: &Person, of: &Conversation, seconds: Value) -> Value {
    owner.patch(&format!("/v1/conversations/{}", of.id), json!({ "retention_s": seconds })).await.expect(200)
}

/// A page of the history. Its `floor` shows that messages have expired.
async fn page(who: &Person, of: &Conversation, query: &str) -> Value {
    who.get(&format!("/v1/conversations/{}/messages?{query}", of.id)).await.expect(200)
}

/// Waits until the history begins after a position.
async fn expires(who: &Person, of: &Conversation, position: u64) {
    let floor = async || page(who, of, "limit=1").await["floor"].as_u64();
    eventually("the history begins behind the position", async || floor().await > Some(position)).await;
}

fn path(of: &Conversation, sent: &Value) -> String {
    format!("/v1/conversations/{}/messages/{}", of.id, sent["id"].as_str().expect("id"))
}

/// Sends the marker twice, edits one of the messages, and pins another message.
async fn talks(ana: &Person, ben: &Person, to: &Conversation) -> [Value; 3] {
    let first = ana.sends(to, "the-key-of-0", &format!("{MARKER} 0")).await.expect(201);
    ana.patch(&path(to, &first), json!({ "text": format!("{MARKER} again <@{}>", ben.id) }))
        .await
        .expect(200);
    let pinned = ana.says(to, PINNED).await;
    ana.put(&format!("{}/pin", path(to, &pinned)), json!({})).await.reached();
    let last = ben.says(to, MARKER).await;
    [first, pinned, last]
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_shown_at_no_door() {
    let world = with_nodes(&["api,gateway,projector,webhooks"], &[("VERBATIM_RETENTION_MIN", "1")]).await;
    // No node requests the erasure of expired messages, so only the comparison of times hides them.
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    sqlx::query("select pg_advisory_lock($1)").bind(TURN).execute(&mut connection).await.expect("locked");
    let operator = Program::bootstraps(&world).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let dinner = ana.starts_group("Dinner", &[&ben]).await;
    let cursor = ben.connects().await.cursor();
    let [first, pinned, last] = talks(&ana, &ben, &lunch).await;
    ana.says(&dinner, "something else").await;
    let shown = page(&ben, &lunch, &format!("min_position={}", position(&last))).await;
    assert!(shown.to_string().contains(MARKER) && shown.get("floor").is_none(), "{shown}");

    ana.invites(&lunch, &world.person("cleo").await).await.expect(201);
    let url = format!("/v1/conversations/{}", lunch.id);
    ben.patch(&url, json!({ "retention_s": 2 })).await.refuses(403, "forbidden");
    ana.patch(&url, json!({ "retention_s": 0 })).await.refuses(400, "invalid_body");
    let kept = keeps(&ana, &lunch, json!(2)).await;
    assert_eq!(kept["retention_s"], 2, "{kept}");
    expires(&ben, &lunch, position(&last)).await;

    for query in [
        String::new(),
        "after=0".into(),
        format!("around={}", position(&last)),
        format!("as_of={}", position(&last)),
    ] {
        let page = page(&ben, &lunch, &query).await;
        assert_eq!(
            (&page["items"], page["floor"].as_u64()),
            (&json!([]), Some(position(&last) + 1)),
            "{query}"
        );
    }
    for path in [
        path(&lunch, &first),
        format!("{}/versions", path(&lunch, &first)),
        format!("{}/reactions", path(&lunch, &last)),
    ] {
        ben.get(&path).await.refuses(404, "not_found");
    }
    for door in ["/v1/conversations?include=messages&limit=50", &url, "/v1/messages?query=zebra"] {
        let (_, body) = ben.sends_bytes(reqwest::Method::GET, door, "").await;
        assert!(!body.contains("zebra") && !body.contains(PINNED), "{door}: {body}");
    }
    let seen = ben.get(&url).await.expect(200);
    assert_eq!((&seen["unread"], &seen["mentions"]), (&json!(0), &json!(0)), "{seen}");
    ana.patch(&path(&lunch, &first), json!({ "text": "later" })).await.refuses(404, "not_found");
    let pins = ben.get(&format!("{url}/pins")).await.expect(200);
    assert_eq!(pins["items"][0]["message"]["text"], PINNED, "{pins}");
    assert_eq!(ben.get(&path(&lunch, &pinned)).await.expect(200)["text"], PINNED);
    let zip = downloaded(&world, &ben).await;
    assert!(!zip.contains("zebra") && zip.contains("something else"), "an export");

    // A webhook that reads from the beginning receives the erased events without their content.
    let receiver = Receiver::start().await;
    adds(&operator, &receiver.url("/"), json!({ "from": "start" })).await;
    eventually("the webhook has all", async || {
        receiver.taken().iter().any(|request| request.event()["position"] == kept["head"])
    })
    .await;
    let taken: Vec<Value> = receiver.taken().iter().map(Received::event).collect();
    assert!(!taken.iter().any(|event| event.to_string().contains("zebra")), "{taken:?}");
    assert_eq!(taken.iter().filter(|event| event["data"]["erased"] == true).count(), 3, "{taken:?}");

    // A client that has missed expired events has to begin afresh. Any other client continues.
    let events = format!("/v1/events?after={cursor}");
    ben.get(&events).await.refuses_cursor("retention");
    ben.with_header("accept", "text/event-stream").get(&events).await.refuses_cursor("retention");
    let mut device = ben.resumes(&cursor).await;
    assert_eq!(device.gets("reset").await["reason"], "retention");
    let after = device.gets("heartbeat").await;
    for cursor in [&device.ready["cursor"], &after["cursor"]] {
        let cursor = cursor.as_str().expect("a cursor");
        ben.get(&format!("/v1/events?after={cursor}")).await.expect(200);
        ben.resumes(cursor).await.gets("caught_up").await;
    }
    ana.says(&lunch, "fresh").await;
    device.sees("fresh").await;

    // Messages that are not erased yet come back when the owner extends the retention.
    keeps(&ana, &lunch, json!(3_600)).await;
    let mut device = ben.resumes(&cursor).await;
    device.catches_up().await;
    assert_linked(&device.chain(&lunch));
    assert!(device.seen.iter().any(|frame| frame.to_string().contains(MARKER)));
    let kept = keeps(&ana, &lunch, Value::Null).await;
    assert!(kept.get("retention_s").is_none(), "{kept}");
    let shown = page(&ben, &lunch, &format!("min_position={}", position(&kept))).await;
    assert!(shown.to_string().contains(MARKER) && shown.get("floor").is_none(), "{shown}");
    world.finish().await;
}

#[tokio::test]
async fn what_is_expired_is_erased_but_for_what_is_pinned_or_held() {
    let mut world = World::empty(1).await;
    let archive = place(&world);
    let settings = [
        ("VERBATIM_ARCHIVE", &*archive),
        ("VERBATIM_RETENTION_MIN", "1"),
        ("VERBATIM_RETENTION_DEFAULT", "60"),
    ];
    world.add_node_with(ROLES, &settings).await;
    let operator = Program::bootstraps(&world).await;
    let counsel = operator.makes("counsel", &["admin:holds"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let cleo = world.person("cleo").await;
    let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let cursor = ben.connects().await.cursor();
    let [first, pinned, last] = talks(&ana, &ben, &lunch).await;
    let held = position(&cleo.says(&lunch, "okapi-0815-grazing").await);
    let hold = json!({ "name": "A case", "users": [cleo.id] });
    let hold = counsel.person.post("/v1/admin/holds", hold).await.expect(201);
    creates(&world).await;
    keeps(&ana, &lunch, json!(2)).await;
    let mut eraser = starts_eraser(&world);

    expires(&ben, &lunch, held).await;
    let erasures = async || {
        let listed = world.runs(&["erasures", "list"]).await;
        serde_json::from_str::<Value>(&listed.stdout).expect("JSON")["items"]
            .as_array()
            .expect("items")
            .clone()
    };
    eventually_long("only what is held is left", async || {
        let erasures = erasures().await;
        let is_over = |erasure: &Value| erasure["state"] == "done" || erasure["state"] == "held";
        !erasures.is_empty()
            && erasures.iter().all(is_over)
            && erasures.iter().any(|erasure| erasure["state"] == "held")
            && with_marker(world.nats.folder()).is_empty()
    })
    .await;
    assert!(erasures().await.iter().all(|erasure| erasure["reason_code"] == "retention"));
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(with_marker(&files_of_database(&world).await), [] as [PathBuf; 0]);
    ana.sends(&lunch, "the-key-of-0", &format!("{MARKER} 0")).await.refuses(410, "erased");
    ben.resumes(&cursor).await.gets("reset").await;
    assert_eq!(ben.get(&path(&lunch, &pinned)).await.expect(200)["text"], PINNED);
    ben.get(&path(&lunch, &first)).await.refuses(404, "not_found");
    let page_now = page(&ben, &lunch, "after=0").await;
    assert_eq!((&page_now["items"], page_now["floor"].as_u64()), (&json!([]), Some(held + 1)));

    // A message that is no longer pinned or held is erased, too.
    ana.delete(&format!("{}/pin", path(&lunch, &pinned))).await.reached();
    counsel.person.delete(&format!("/v1/admin/holds/{}", hold["id"].as_str().expect("id"))).await.expect(204);
    eventually_long("all is done", async || {
        let erasures = erasures().await;
        erasures.len() > 1 && erasures.iter().all(|erasure| erasure["state"] == "done")
    })
    .await;
    ben.get(&path(&lunch, &pinned)).await.refuses(404, "not_found");
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));

    creates(&world).await;
    eraser.kill().await.expect("it runs");
    loses_everything(&mut world).await;
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    let arguments = ["--archive", &archive, "--retention-min", "1"];
    world.nodes[0] = world.begins_node(ROLES, &arguments).await.serves().await;
    let ana = ana.at(world.nodes[0].address);
    ana.sends(&lunch, "the-key-of-0", &format!("{MARKER} 0")).await.refuses(410, "erased");
    let page = page(&ana, &lunch, &format!("after=0&min_position={}", position(&last))).await;
    assert_eq!(page["items"], json!([]), "{page}");
    world.finish().await;
}
