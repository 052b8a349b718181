//! Every command returns the position that it has reached, and every list the moment at which it is valid.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Conversation, Person, World, eventually, signal};

#[tokio::test]
async fn a_command_that_answers_without_a_body_tells_its_position_too() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ana.connects().await;
    let said = ana.says(&lunch, "pizza?").await;
    let base = format!("/v1/conversations/{}", lunch.id);
    let message = format!("{base}/messages/{}", said["id"].as_str().expect("id"));
    let thumb = format!("{message}/reactions/%F0%9F%91%8D");
    let read = json!({ "read": said["position"] });
    let commands = [
        (Method::PUT, thumb.clone(), None, "reaction.added"),
        (Method::DELETE, thumb, None, "reaction.removed"),
        (Method::PUT, format!("{message}/pin"), None, "message.pinned"),
        (Method::DELETE, format!("{message}/pin"), None, "message.unpinned"),
        (Method::PUT, format!("{base}/receipt"), Some(read), "receipt.advanced"),
        (Method::DELETE, message, None, "message.deleted"),
        (Method::DELETE, format!("{base}/members/{}", ben.id), None, "member.removed"),
    ];
    for (method, path, body, event) in commands {
        let reached = ana.send(method.clone(), &path, body.clone()).await.reached();
        assert_eq!(device.gets_event(event).await["position"], reached, "{method} {path}");
        ana.get(&format!("{base}?min_position={reached}")).await.expect(200);
        let again = ana.send(method, &path, body).await.reached();
        assert!((1..=reached).contains(&again), "so already, by {again}: {path}");
    }

    let said = ana.says(&lunch, "alone").await["position"].as_u64().expect("position");
    device.tells(json!({ "op": "read", "id": "r", "conversation_id": lunch.id, "position": said })).await;
    let ack = device.waits_for("ack", |frame| frame["op"] == "ack" && frame["id"] == "r").await;
    let receipt = match device.seen.iter().rfind(|frame| frame["type"] == "receipt.advanced") {
        Some(frame) if frame["data"]["read"] == said => frame.clone(),
        _ => device.gets_event("receipt.advanced").await,
    };
    assert_eq!(ack["position"], receipt["position"]);
    world.finish().await;
}

fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// The position up to which a page of a list is complete.
fn position_of(page: &Answer) -> Option<u64> {
    page.headers.get("verbatim-position")?.to_str().ok()?.parse().ok()
}

/// The cursor from which events continue a page.
fn cursor_of(page: &Answer) -> &str {
    page.headers["verbatim-cursor"].to_str().expect("text")
}

/// All events after a cursor, until there are no more.
async fn happened_after(who: &Person, cursor: &str) -> Vec<Value> {
    let (mut cursor, mut all) = (cursor.to_owned(), Vec::new());
    loop {
        let page = who.get(&format!("/v1/events?after={cursor}")).await.expect(200);
        let items = page["items"].as_array().expect("items");
        if items.is_empty() {
            return all;
        }
        all.extend(items.iter().cloned());
        text_of(&page, "next_cursor").clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn a_list_tells_all_up_to_its_position_and_events_tell_the_rest() {
    let mut world = World::empty(4).await;
    world.add_node("api,gateway").await;
    world.add_node("projector").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let said = ana.says(&lunch, "pizza?").await;
    let (id, at) = (text_of(&said, "id"), said["position"].as_u64().expect("position"));
    let history = format!("/v1/conversations/{}/messages", lunch.id);
    ben.get(&format!("{history}?min_position={at}")).await.expect(200);
    signal(world.nodes[1].pid(), "STOP").await;
    let reacted = ana.put(&format!("{history}/{id}/reactions/%F0%9F%91%8D"), Value::Null).await.reached();

    let base = format!("/v1/conversations/{}", lunch.id);
    let lists = [
        history.clone(),
        format!("{history}?around={at}"),
        format!("{history}/{id}/reactions"),
        format!("{base}/members"),
        format!("{base}/receipts"),
        "/v1/conversations".to_owned(),
    ];
    let mut pages = Vec::new();
    for path in &lists {
        pages.push((path, ben.get(path).await));
    }
    signal(world.nodes[1].pid(), "CONT").await;
    for (path, page) in &pages {
        assert_eq!(page.status, 200, "{page:?}");
        assert!(position_of(page) == Some(at) || *path == "/v1/conversations", "{path}: {page:?}");
        let rest = happened_after(&ben, cursor_of(page)).await;
        assert!(rest.len() == 1 && rest[0]["position"] == reacted, "{path}: {rest:#?}");
    }
    assert_eq!(pages[0].1.body["items"][0]["reactions"], json!([]), "{pages:#?}");
    let mut device = ben.resumes(cursor_of(&pages[0].1)).await;
    assert_eq!(device.gets_event("reaction.added").await["position"], reacted);

    for path in &lists[..5] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = ben.get(&format!("{path}{joint}min_position={reacted}")).await;
        assert_eq!((page.status.as_u16(), position_of(&page)), (200, Some(reacted)), "{path}: {page:?}");
        let rest = happened_after(&ben, cursor_of(&page)).await;
        assert!(rest.is_empty(), "{path}: {rest:#?}");
        if !path.contains("around") {
            let past = ben.get(&format!("{path}?as_of={reacted}")).await;
            assert_eq!(position_of(&past), Some(reacted), "{path}: {past:?}");
            assert!(!past.headers.contains_key("verbatim-cursor"), "{path}: {past:?}");
        }
    }
    let empty = ben.get(&format!("{history}?before=1")).await;
    assert_eq!((&empty.body["items"], position_of(&empty)), (&json!([]), Some(reacted)));
    world.finish().await;
}

#[tokio::test]
async fn loading_and_then_following_counts_everything_once() {
    const SAID: usize = 120;
    let world = World::with_streams(4).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let talks = tokio::spawn({
        let (ana, lunch) = (ana.clone(), lunch.clone());
        async move {
            for n in 0..SAID {
                ana.says(&lunch, &format!("{n}")).await;
            }
        }
    });
    let mut loaded = Vec::new();
    while !talks.is_finished() {
        loaded.push(load(&ben, &lunch).await);
    }
    talks.await.expect("all was said");
    assert!(loaded.len() > 3, "nothing was loaded meanwhile");
    for (page, list) in loaded {
        let of_page = page.body["items"].as_array().expect("items").len();
        let rest = happened_after(&ben, cursor_of(&page)).await;
        let said = |event: &&Value| event["type"] == "message.sent";
        assert_eq!(of_page + rest.iter().filter(said).count(), SAID);
        assert!(rest.iter().all(|event| event["position"].as_u64() > position_of(&page)));
        let unread = list.body["items"][0]["unread"].as_u64().expect("a number") as usize;
        let rest = happened_after(&ben, cursor_of(&list)).await;
        assert_eq!(unread + rest.iter().filter(said).count(), SAID);
    }
    world.finish().await;
}

/// A page of history and the list, as soon as there is one.
async fn load(who: &Person, of: &Conversation) -> (Answer, Answer) {
    let history = format!("/v1/conversations/{}/messages?limit=200", of.id);
    eventually("the list has it", || async {
        let list = who.get("/v1/conversations").await.expect(200);
        !list["items"].as_array().expect("items").is_empty()
    })
    .await;
    (who.get(&history).await, who.get("/v1/conversations").await)
}
