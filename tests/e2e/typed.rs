//! Texts come back as people typed them, in every script and with every character.

use reqwest::StatusCode;
use serde_json::json;
use verbatim::{
    domain::{Event, Position, ReactionAdded},
    log::{Log, Wanted},
    supervise::Supervisor,
};

use crate::world::{Conversation, PASSWORD, Person, World, drafted, key};

const SIGNS: &str = "❤️ ✈️ 👨‍👩‍👧 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿";

#[tokio::test]
async fn names_keep_the_signs_and_joiners_that_were_typed() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    for name in [SIGNS, "H₂O ﬁ", "پدر\u{200C}بزرگ", "ශ්\u{200D}රී", "র\u{200D}্যাব", "葛\u{E0100}飾区"]
    {
        let group = ana.starts_group(name, &[]).await;
        let path = format!("/v1/conversations/{}", group.id);
        assert_eq!(ana.get(&path).await.expect(200)["title"], name);
        assert_eq!(ana.patch(&path, json!({ "title": "plain" })).await.expect(200)["title"], "plain");
        assert_eq!(ana.patch(&path, json!({ "title": name })).await.expect(200)["title"], name);
        assert_eq!(
            ana.patch("/v1/me", json!({ "display_name": name })).await.expect(200)["display_name"],
            name
        );
        assert_eq!(ana.get("/v1/me").await.expect(200)["display_name"], name);
        let login = json!({ "username": ana.name, "password": PASSWORD, "device": name });
        ana.post("/v1/logins", login).await.expect(201);
        let logins = ana.get("/v1/logins").await.expect(200);
        assert!(logins["items"].as_array().expect("items").iter().any(|login| login["device"] == name));
    }
    for name in ["a\u{200D}b", "a\u{200C}b", "a\u{FE0F}", "\u{200D}", "a\u{202E}b", "👍\u{200D}"] {
        let title = json!({ "kind": "group", "title": name, "members": [] });
        assert_eq!(ana.post("/v1/conversations", title).await.status, StatusCode::BAD_REQUEST, "{name:?}");
        let answer = ana.patch("/v1/me", json!({ "display_name": name })).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name:?}");
    }
    world.finish().await;
}

async fn reactions(person: &Person, of: &Conversation, position: u64) -> serde_json::Value {
    let path = format!("/v1/conversations/{}/messages?min_position={position}", of.id);
    person.get(&path).await.expect(200)["items"][0]["reactions"].clone()
}

#[tokio::test]
async fn a_sign_is_one_reaction_however_it_is_encoded() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let message = ana.says(&lunch, "hello").await;
    let path =
        |sign: &str| format!("/v1/conversations/{}/messages/{}/reactions/{sign}", lunch.id, message["id"]);
    let path = |sign: &str| path(sign).replace('"', "");
    for (bare, full) in [
        ("❤", "❤\u{FE0F}"),
        ("👁\u{200D}🗨", "👁\u{FE0F}\u{200D}🗨\u{FE0F}"),
        ("1\u{20E3}", "1\u{FE0F}\u{20E3}"),
        ("e\u{301}", "é"),
        // This is the longest of all emojis: 35 bytes.
        ("👩🏻\u{200D}❤\u{200D}💋\u{200D}👨🏽", "👩🏻\u{200D}❤\u{FE0F}\u{200D}💋\u{200D}👨🏽"),
    ] {
        ana.put(&path(bare), json!({})).await.reached();
        ana.put(&path(full), json!({})).await.reached();
        let at = ben.put(&path(full), json!({})).await.reached();
        let both = json!([{ "emoji": full, "count": 2, "mine": true }]);
        assert_eq!(reactions(&ana, &lunch, at).await, both, "{full}");
        ana.delete(&path(full)).await.reached();
        let at = ben.delete(&path(bare)).await.reached();
        assert_eq!(reactions(&ana, &lunch, at).await, json!([]), "{full}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_reaction_that_was_stored_before_signs_had_one_form_is_the_same_reaction() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let message = ana.says(&notes, "hello").await;
    let (id, position) =
        (message["id"].as_str().expect("id"), message["position"].as_u64().expect("position"));
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let mut last = 0;
    for old in ["❤", "a\u{200D}b"] {
        let added = ReactionAdded {
            message_id: id.parse().expect("an id"),
            message_position: Position(position),
            client_id: Some("an-old-key".to_owned()),
            emoji: old.to_owned(),
        };
        let draft = drafted(&notes, &ana, Event::ReactionAdded(added));
        last = log.append(&draft).await.expect("stored").position.0;
    }
    let shown = |emoji: &str| json!({ "emoji": emoji, "count": 1, "mine": true });
    let both = json!([shown("❤\u{FE0F}"), shown("a\u{200D}b")]);
    assert_eq!(reactions(&ana, &notes, last).await, both);
    let then = ana.get(&format!("/v1/conversations/{}/messages?as_of={last}", notes.id)).await.expect(200);
    assert_eq!(then["items"][0]["reactions"], both);

    let path = format!("/v1/conversations/{}/messages/{id}/reactions", notes.id);
    let again = ana.with_key("an-old-key").put(&format!("{path}/❤\u{FE0F}"), json!({})).await;
    assert_eq!(again.reached(), last - 1, "the first answer");
    let gone = ana.delete(&format!("{path}/❤\u{FE0F}")).await.reached();
    assert_eq!(reactions(&ana, &notes, gone).await, json!([shown("a\u{200D}b")]));
    world.finish().await;
}

#[tokio::test]
async fn a_text_keeps_its_line_breaks_and_a_body_may_begin_with_a_mark() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut device = ana.connects().await;
    let text = "one\r\ntwo\r\n\r\nthree";
    let sent = ana.says(&notes, text).await;
    assert_eq!(sent["text"], text);
    device.sees(text).await;
    assert_eq!(ana.history(&notes, sent["position"].as_u64().expect("position")).await, [text]);
    ana.sends(&notes, &key(), "one\rtwo").await.expect(400);

    let url = format!("http://{}/v1/conversations/{}/messages", ana.address, notes.id);
    for charset in ["", "; charset=utf8", "; charset=\"UTF8\"", "; charset=utf-8"] {
        let body = json!({ "client_id": key(), "text": "héllo" });
        let request = reqwest::Client::new()
            .post(&url)
            .bearer_auth(&ana.token)
            .header("content-type", format!("application/json{charset}"))
            .body(format!("\u{FEFF}{body}"));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED, "{charset}");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(body["text"], "héllo");
    }
    world.finish().await;
}
