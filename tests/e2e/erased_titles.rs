//! Titles are also written by people. An erased title is gone from every answer and every store, the conversation has
//! no title until somebody sets a new one, and its roster works as before.

use std::{collections::BTreeSet, path::PathBuf};

use async_nats::{HeaderMap, jetstream};
use reqwest::Method;
use serde_json::{Value, json};
use verbatim::{
    app,
    clock::Clock,
    dev::NatsUser,
    domain::{ConversationUpdated, Event, EventId, History, Position},
    log::{Draft, Log, Wanted},
    supervise::Supervisor,
};

use crate::{
    archives::{creates, folder, loses_everything, restores},
    erased_archives::with,
    erasing::{
        MARKER, asks, eventually_long, files_of_database, is_done, receipt, starts_eraser, with_marker,
    },
    world::{Conversation, Person, Program, World, assert_linked, eventually},
};

/// With this setting, users are added only with their consent.
const CONSENT: (&str, &str) = ("VERBATIM_ADD_STRANGERS", "false");

fn path(of: &Conversation) -> String {
    format!("/v1/conversations/{}", of.id)
}

/// Sets a title. Returns the position.
pub async fn renames(who: &Person, of: &Conversation, title: &str) -> u64 {
    let answer = who.patch(&path(of), json!({ "title": title })).await.expect(200);
    answer["position"].as_u64().expect("a position")
}

async fn accepts(who: &Person, to: &Conversation) -> u64 {
    who.send(Method::POST, &format!("/v1/me/invitations/{}/accept", to.id), None).await.reached()
}

/// The title of a conversation in its own answer and in the list.
async fn titles(who: &Person, of: &Conversation, at: u64) -> [Value; 2] {
    let one = who.get(&format!("{}?min_position={at}", path(of))).await.expect(200);
    let list = who.get("/v1/conversations").await.expect(200);
    assert!(!list.to_string().contains(MARKER) && !one.to_string().contains(MARKER), "{list}, {one}");
    let items = list["items"].as_array().expect("items");
    let item = items.iter().find(|item| item["id"] == of.id).expect("it is listed");
    [one["title"].clone(), item["title"].clone()]
}

async fn members(who: &Person, of: &Conversation, as_of: Option<u64>) -> BTreeSet<(String, String)> {
    let past = as_of.map(|at| format!("?as_of={at}")).unwrap_or_default();
    let page = who.get(&format!("{}/members{past}", path(of))).await.expect(200);
    assert!(!page.to_string().contains(MARKER), "{page}");
    let member = |member: &Value| {
        let text = |field: &str| member[field].as_str().expect(field).to_owned();
        (text("user_id"), text("role"))
    };
    page["items"].as_array().expect("items").iter().map(member).collect()
}

/// Appends to a roster like a node. Returns the answer of JetStream.
async fn appends(world: &World, to: &Conversation, expected: u64) -> Result<u64, String> {
    let log = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
    let subject = format!("chat.{}.{}.roster", &to.id[to.id.len() - 2..], to.id);
    let sent = log.publish_with_headers(subject, headers, "{}".into()).await.expect("sent");
    sent.await.map(|stored| stored.sequence).map_err(|refused| refused.to_string())
}

/// Replaces the node by another process, which reads its conversations from the log.
async fn begins_again(world: &mut World, people: &mut [&mut Person]) {
    world.nodes[0].stop().await;
    world.nodes.clear();
    let address = world.add_node_with("api,gateway,projector", &[CONSENT]).await.address;
    for person in people {
        **person = person.at(address);
    }
}

#[tokio::test]
async fn an_erased_title_is_gone_until_somebody_gives_another() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[CONSENT]).await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (mut ana, mut ben) = (world.person("ana").await, world.person("ben").await);
    let (cem, doe) = (world.person("cem").await, world.person("doe").await);
    let first = format!("{MARKER} 1");
    let keyed = ana.with_header("idempotency-key", "the-key-of-lunch");
    let body = json!({ "kind": "group", "title": first, "members": [] });
    let lunch = Conversation::from(keyed.post("/v1/conversations", body.clone()).await.expect(201));
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    accepts(&ben, &lunch).await;
    assert_eq!(ana.invites(&lunch, &cem).await.status, 202);
    assert_eq!(ana.invites(&lunch, &doe).await.status, 202);
    let cursor = ben.connects().await.cursor();
    let second = renames(&ana, &lunch, &format!("{MARKER} 2")).await;
    let third = renames(&ana, &lunch, &format!("{MARKER} 3")).await;
    let mut device = ben.connects().await;

    // The titles are hidden, but not deleted yet.
    let named = [(&lunch, lunch.position), (&lunch, second), (&lunch, third)];
    let id = asks(&program, &named).await;
    eventually_long("it is hidden", async || receipt(&program, &id).await["views_done_at"].is_string()).await;
    assert_eq!(receipt(&program, &id).await["counts"]["titles"], 3);
    let told = device.gets_event("content.erased").await;
    let told = [told, device.gets_event("content.erased").await];
    let entries: Vec<&Value> =
        told.iter().flat_map(|told| told["data"]["erased"].as_array().expect("a list")).collect();
    let listed: Vec<_> =
        entries.iter().map(|entry| (&entry["position"], &entry["type"], &entry["lane"])).collect();
    let (made, changed, lane) =
        (json!("conversation.created"), json!("conversation.updated"), json!("roster"));
    let [one, two, three] = [lunch.position, second, third].map(|at| json!(at));
    assert_eq!(listed, [(&one, &made, &lane), (&two, &changed, &lane), (&three, &changed, &lane)]);
    let data = |n: usize| entries[n]["data"].clone();
    assert_eq!((data(0)["members"].as_array().map(Vec::len), data(0).get("title")), (Some(1), None));
    assert_eq!([data(1), data(2)], [json!({}), json!({})]);
    let empty = [Value::Null, Value::Null];
    let last = ana.says(&lunch, "still here").await["position"].as_u64().expect("a position");
    assert_eq!(titles(&ben, &lunch, last).await, empty);
    for invited in [&cem, &doe] {
        let open = invited.get("/v1/me/invitations").await.expect(200);
        assert!(open["items"][0].get("title").is_none() && open["items"][0]["kind"] == "group", "{open}");
    }
    ana.patch(&format!("{}/members/{}", path(&lunch), ben.id), json!({ "role": "admin" })).await.expect(200);
    let joined = accepts(&cem, &lunch).await;
    assert_eq!(titles(&ana, &lunch, joined).await, empty);
    let before = members(&ana, &lunch, None).await;

    // The titles are deleted.
    let mut eraser = starts_eraser(&world);
    let done = is_done(&program, &id).await;
    let counts = json!({ "messages": 0, "edits": 0, "titles": 3, "attachments": 0, "rows": 0 });
    assert_eq!(done["counts"], counts);
    for new in [false, true] {
        if new {
            begins_again(&mut world, &mut [&mut ana, &mut ben]).await;
        }
        assert_eq!(titles(&ben, &lunch, joined).await, empty, "a new process: {new}");
        assert_eq!(members(&ana, &lunch, None).await, before);
        assert_eq!(members(&ana, &lunch, Some(lunch.position)).await.len(), 1);
        assert_eq!(members(&ana, &lunch, Some(third)).await.len(), 2);
        let mut device = ben.resumes(&cursor).await;
        device.catches_up().await;
        assert_linked(&device.chain(&lunch));
        assert!(device.seen.iter().all(|frame| !frame.to_string().contains(MARKER)));
        let left = device.seen.iter().find(|frame| frame["position"] == second).expect("it is in the chain");
        assert_eq!((&left["type"], &left["data"]), (&changed, &json!({})));
        // The key of the group is known for ever, and does not start the group again.
        let again = ana.with_header("idempotency-key", "the-key-of-lunch");
        assert_eq!(again.post("/v1/conversations", body.clone()).await.expect(201)["id"], lunch.id);
        let others = json!({ "kind": "group", "title": first, "members": [ben.id] });
        again.post("/v1/conversations", others).await.refuses(409, "idempotency_mismatch");
    }
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(titles(&ben, &lunch, joined).await, empty);
    accepts(&doe.at(ana.address), &lunch).await;
    ana.removes(&lunch, &cem).await.reached();
    let renamed = renames(&ana, &lunch, "Lunch").await;
    assert_eq!(titles(&ben, &lunch, renamed).await, [json!("Lunch"), json!("Lunch")]);
    // Erased positions may be requested again, and this erases no later title.
    let again = asks(&program_at(&program, &ana), &named).await;
    is_done(&program_at(&program, &ana), &again).await;
    assert_eq!(titles(&ben, &lunch, renamed).await, [json!("Lunch"), json!("Lunch")]);
    assert_eq!(world.runs(&["erasures", "verify", &id]).await.code, Some(0));
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

fn program_at(program: &Program, like: &Person) -> Program {
    Program { person: program.person.at(like.address), ..program.clone() }
}

/// JetStream forgets the last sequence of a roster's subject when that event is deleted, so it is never deleted.
#[tokio::test]
async fn a_change_that_lost_a_race_is_refused_also_when_all_titles_are_gone() {
    let world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group(MARKER, &[]).await;
    let dinner = ana.starts_group("Dinner", &[]).await;
    let renamed = renames(&ana, &dinner, MARKER).await;
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, lunch.position), (&dinner, renamed)]).await;
    is_done(&program, &id).await;
    for (of, last, before) in [(&lunch, lunch.position, 0), (&dinner, renamed, dinner.position)] {
        for expected in [last, before] {
            let refused = appends(&world, of, expected).await.expect_err("it has missed something");
            assert!(refused.contains("last sequence"), "{refused}");
        }
        ana.invites(of, &ben).await.expect(201);
        ana.removes(of, &ben).await.reached();
        let at = renames(&ana, of, "and now").await;
        assert_eq!(titles(&ana, of, at).await, [json!("and now"), json!("and now")]);
    }
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn a_title_is_gone_from_the_snapshots_of_a_long_roster() {
    let world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group(MARKER, &[]).await;
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let (clock, conversation) = (Clock::system(), lunch.id.parse().expect("id"));
    let mut last = Position(lunch.position);
    let mut named = vec![(&lunch, last.0)];
    for n in 1..300 {
        let title = (n < 256).then(|| format!("{MARKER} {n}"));
        let history = Some(if n % 2 == 0 { History::Full } else { History::SinceJoin });
        let event = Event::ConversationUpdated(ConversationUpdated {
            title,
            history,
            retention_s: None,
            client_id: None,
        });
        let (id, actor, time) = (clock.id(EventId::known), ana.id.parse().expect("id"), clock.now());
        let draft = Draft { conversation, id, actor, via: None, time, event, key: None, trace: None };
        last = log.append_roster(&draft, last).await.expect("stored").position;
        if n < 256 {
            named.push((&lunch, last.0));
        }
    }
    ana.get(&format!("{}?min_position={last}", path(&lunch))).await.expect(200);
    let pool = app::database(&world.database.url, 2).await.expect("the database");
    let kept = async || -> Option<String> {
        sqlx::query_scalar("select title from roster").fetch_one(&pool).await.expect("a snapshot")
    };
    assert!(kept().await.is_some_and(|title| title.contains(MARKER)));
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &named).await;
    eventually_long("it is hidden", async || receipt(&program, &id).await["views_done_at"].is_string()).await;
    assert_eq!(kept().await, None);
    assert_eq!(receipt(&program, &id).await["counts"]["titles"], 256);

    // A view that does not know of the erasure yet does not show the title.
    world.database.does("update view.roster set title = 'zebra'").await;
    let begins_with_one = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await;
    let begins_with_one = begins_with_one.expect("the log").with_snapshots(app::snapshots(&pool));
    let fold = begins_with_one.fold(conversation, None).await.expect("a fold");
    assert_eq!(fold.conversation.title(), None);
    assert_eq!(fold, log.fold(conversation, None).await.expect("a fold"));
    assert_eq!(world.runs(&["rebuild", "rosters"]).await.code, Some(0));
    assert_eq!(kept().await, None);
    pool.close().await;
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

/// A restore to a point before the event that lists the erased content has only the audit trail as a source. The event
/// with the first title also has the members, so everything but the title comes back.
#[tokio::test]
async fn a_title_is_in_no_archive_and_a_restore_to_an_earlier_point_has_all_else() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group(MARKER, &[&ben]).await;
    let renamed = renames(&ana, &lunch, &format!("{MARKER} 2")).await;
    let said = ana.says(&lunch, "hello").await["position"].as_u64().expect("a position");
    creates(&world).await;
    assert!(!with(MARKER, &folder(&world)).is_empty());
    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, lunch.position), (&lunch, renamed)]).await;
    is_done(&program, &id).await;
    eventually("the audit trail lists what is gone", || async {
        world.runs(&["audit", "tail"]).await.stdout.contains("erasure.positions")
    })
    .await;
    creates(&world).await;
    assert_eq!(with(MARKER, &folder(&world)), [] as [PathBuf; 0]);
    assert!(receipt(&program, &id).await["archive_done_at"].is_string());
    eraser.kill().await.expect("it runs");

    for to in [&["--to-position", &format!("CHAT_0={said}")][..], &[]] {
        loses_everything(&mut world).await;
        let restored = restores(&world, to).await;
        assert_eq!(restored.code, Some(0), "{restored:?}");
        assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
        world.nodes[0] = world.begins_node("api,gateway,projector", &[]).await.serves().await;
        let ana = ana.at(world.nodes[0].address);
        assert_eq!(titles(&ana, &lunch, said).await, [Value::Null, Value::Null], "{to:?}");
        assert_eq!(members(&ana, &lunch, None).await.len(), 2);
        ana.removes(&lunch, &ben).await.reached();
        let at = renames(&ana, &lunch, "Lunch").await;
        assert_eq!(titles(&ana, &lunch, at).await, [json!("Lunch"), json!("Lunch")]);
    }
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(with_marker(&files_of_database(&world).await), [] as [PathBuf; 0]);
    world.finish().await;
}

/// A node appends an event after a title before it lists the title. A restore to a point between the two loses that
/// event.
#[tokio::test]
async fn an_eraser_of_a_log_that_ends_with_an_erased_title_leaves_its_roster_as_it_was() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group(MARKER, &[]).await;
    let dinner = ana.starts_group("Dinner", &[]).await;
    let renamed = renames(&ana, &dinner, MARKER).await;
    let id = asks(&program, &[(&lunch, lunch.position), (&dinner, renamed)]).await;
    eventually_long("it is hidden", async || receipt(&program, &id).await["views_done_at"].is_string()).await;
    creates(&world).await;
    loses_everything(&mut world).await;
    let restored = restores(&world, &["--to-position", &format!("CHAT_0={renamed}")]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    world.nodes[0] = world.begins_node("api,gateway,projector", &[]).await.serves().await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let mut eraser = starts_eraser(&world);
    is_done(&program_at(&program, &ana), &id).await;
    assert_eq!(with_marker(world.nats.folder()), [] as [PathBuf; 0]);
    for (of, last) in [(&lunch, lunch.position), (&dinner, renamed)] {
        for expected in [last, 0] {
            let refused = appends(&world, of, expected).await.expect_err("it has missed something");
            assert!(refused.contains("last sequence"), "{refused}");
        }
        ana.invites(of, &ben).await.expect(201);
        let at = renames(&ana, of, "and now").await;
        assert_eq!(titles(&ana, of, at).await, [json!("and now"), json!("and now")]);
    }
    eraser.kill().await.expect("it runs");
    world.finish().await;
}
