//! Looking back at a conversation: answers with `as_of` are the same as the answers at that time.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Conversation, Person, World, key, position};

/// The answers to a person at a moment.
struct Then {
    position: u64,
    time: String,
    answers: Vec<(String, Value)>,
}

const ASKED: [&str; 5] =
    ["/members", "/receipts", "/messages", "/messages?after=0&limit=2", "/messages?around=3&limit=3"];

fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).expect("time")
}

async fn ask(person: &Person, of: &Conversation, what: &str, more: &str) -> Value {
    let joint = if what.contains('?') { '&' } else { '?' };
    person.get(&format!("/v1/conversations/{}{what}{joint}{more}", of.id)).await.expect(200)
}

/// Sends all requests, and waits a little, so that the next event has another time.
async fn looks(person: &Person, of: &Conversation, position: u64) -> Then {
    let mut answers = Vec::new();
    for what in ASKED {
        answers.push((what.to_owned(), ask(person, of, what, &format!("min_position={position}")).await));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let time = now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    Then { position, time, answers }
}

#[tokio::test]
async fn members_receipts_and_history_are_told_as_they_were() {
    let mut world = World::with_streams(2).await;
    world.add_node("api").await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let other = ana.starts_group("Dinner", &[&ben]).await;
    let mut of_ana = ana.connects().await;
    let mut moments = vec![looks(&ana, &lunch, lunch.position).await];

    let pizza = position(&ana.says(&lunch, "pizza?").await);
    ben.says(&other, "in between").await;
    moments.push(looks(&ana, &lunch, position(&ben.says(&lunch, "pasta!").await)).await);
    ben.reads(&lunch, pizza).await.expect(204);
    moments.push(looks(&ana, &lunch, position(&of_ana.gets_event("receipt.advanced").await)).await);
    moments.push(looks(&ana, &lunch, position(&ana.invites(&lunch, &cleo).await.expect(201))).await);
    let promoted = json!({ "role": "admin" });
    let path = format!("/v1/conversations/{}/members/{}", lunch.id, cleo.id);
    moments.push(looks(&ana, &lunch, position(&ana.patch(&path, promoted).await.expect(200))).await);
    let soup = position(&cleo.says(&lunch, "soup").await);
    moments.push(looks(&ana, &lunch, soup).await);
    ana.removes(&lunch, &ben).await.expect(204);
    moments.push(looks(&ana, &lunch, position(&of_ana.gets_event("member.removed").await)).await);
    moments.push(looks(&ana, &lunch, position(&ana.invites(&lunch, &ben).await.expect(201))).await);
    cleo.reads(&lunch, soup).await.expect(204);
    let cleo_reads =
        |frame: &Value| frame["type"] == "receipt.advanced" && frame["actor"] == cleo.id.as_str();
    moments.push(looks(&ana, &lunch, position(&of_ana.waits_for("cleo reads", cleo_reads).await)).await);

    let elsewhere = ana.at(world.nodes[1].address);
    for Then { position, time, answers } in &moments {
        for (what, then) in answers {
            for as_of in [position.to_string(), time.clone()] {
                let now = ask(&elsewhere, &lunch, what, &format!("as_of={as_of}")).await;
                assert_eq!(now, *then, "{what} as of {as_of}");
            }
        }
    }
    let read: Vec<_> = moments
        .iter()
        .map(|then| {
            let receipts = then.answers[1].1["items"].as_array().expect("items");
            receipts.iter().filter(|receipt| receipt["read"] != 0).count()
        })
        .collect();
    assert_eq!(read, [0, 0, 1, 1, 1, 1, 0, 1, 2], "the moments differ");

    // Pages continue like those of the present.
    let first = ask(&ana, &lunch, "/messages?limit=1", &format!("as_of={}", moments[3].position)).await;
    assert_eq!(first["items"][0]["text"], "pasta!");
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let more = format!("as_of={}&cursor={cursor}", moments[3].position);
    let second = ask(&ana, &lunch, "/messages?limit=1", &more).await;
    assert_eq!((&second["items"][0]["text"], &second["next_cursor"]), (&json!("pizza?"), &json!(null)));
    let members = ask(&ana, &lunch, "/members?limit=2", &format!("as_of={}", moments[8].position)).await;
    let cursor = members["next_cursor"].as_str().expect("there is more");
    let more = format!("as_of={}&cursor={cursor}", moments[8].position);
    assert_eq!(ask(&ana, &lunch, "/members?limit=2", &more).await["items"].as_array().map(Vec::len), Some(1));
    let begun = ask(&ana, &lunch, "/members", "as_of=1970-01-01T00:00:00Z").await;
    assert_eq!(begun["items"], json!([]), "before its beginning there was nothing");
    world.finish().await;
}

#[tokio::test]
async fn what_was_done_with_messages_is_told_as_it_was() {
    let world = World::with_streams(2).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ana = ana.connects().await;
    let messages = format!("/v1/conversations/{}/messages", lunch.id);
    let said = json!({ "client_id": key(), "text": format!("<@{}> pizza?", ben.id), "metadata": { "n": 1 } });
    let pizza = ana.post(&messages, said).await.expect(201);
    let of_pizza = format!("{messages}/{}", pizza["id"].as_str().expect("id"));
    let mut moments = vec![looks(&ana, &lunch, position(&pizza)).await];
    let reply = json!({ "client_id": key(), "text": "yes", "reply_to": pizza["id"] });
    moments.push(looks(&ana, &lunch, position(&ben.post(&messages, reply).await.expect(201))).await);

    let (ok, heart) = ("%F0%9F%91%8D", "%E2%9D%A4");
    let acts = [
        (&ben, Method::PUT, format!("/reactions/{ok}"), "reaction.added"),
        (&ana, Method::PUT, format!("/reactions/{heart}"), "reaction.added"),
        (&ana, Method::PUT, format!("/reactions/{ok}"), "reaction.added"),
        (&ana, Method::PATCH, String::new(), "message.edited"),
        (&ana, Method::PUT, "/pin".into(), "message.pinned"),
        (&ben, Method::DELETE, format!("/reactions/{ok}"), "reaction.removed"),
        (&ana, Method::DELETE, "/pin".into(), "message.unpinned"),
        (&ana, Method::PUT, "/pin".into(), "message.pinned"),
        (&ana, Method::DELETE, String::new(), "message.deleted"),
    ];
    for (who, method, what, kind) in acts {
        let body = (method == Method::PATCH).then(|| json!({ "text": "soup?" }));
        assert!(who.send(method, &format!("{of_pizza}{what}"), body).await.status.is_success(), "{kind}");
        let mut then = looks(&ana, &lunch, position(&of_ana.gets_event(kind).await)).await;
        let reactions = format!("/messages/{}/reactions", pizza["id"].as_str().expect("id"));
        then.answers.push((reactions.clone(), ask(&ana, &lunch, &reactions, "limit=9").await));
        moments.push(then);
    }
    for Then { position, time, answers } in &moments {
        for (what, then) in answers {
            for as_of in [position.to_string(), time.clone()] {
                let now = ask(&ana, &lunch, what, &format!("as_of={as_of}")).await;
                assert_eq!(now, *then, "{what} as of {as_of}");
            }
        }
    }
    let as_of = format!("as_of={}", moments[4].position);
    let then = ask(&ana, &lunch, "/messages", &as_of).await;
    assert_eq!(then["items"][1]["reactions"].as_array().map(Vec::len), Some(2), "{then}");
    world.finish().await;
}

#[tokio::test]
async fn nobody_looks_back_further_than_they_may() {
    let world = World::start().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.says(&lunch, "a secret").await;
    let path = format!("/v1/conversations/{}", lunch.id);
    ana.patch(&path, json!({ "history": "since_join" })).await.expect(200);
    let before = now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let joined = position(&ana.invites(&lunch, &ben).await.expect(201));
    let after = position(&ana.says(&lunch, "hello ben").await);
    for what in ["/members", "/receipts", "/messages"] {
        for as_of in [(joined - 1).to_string(), before.clone()] {
            let problem =
                ben.get(&format!("{path}{what}?as_of={as_of}")).await.refuses(400, "invalid_parameter");
            assert_eq!(problem["errors"][0]["code"], "before_you_joined", "{problem}");
        }
        eve.get(&format!("{path}{what}?as_of={after}")).await.refuses(404, "not_found");
        for (as_of, code) in
            [("9007199254740991", "ahead_of_head"), ("2126-11-24T13:10:00Z", "in_the_future")]
        {
            let problem = ana.get(&format!("{path}{what}?as_of={as_of}")).await.expect(400);
            assert_eq!(problem["errors"][0]["code"], code, "{problem}");
        }
        let problem =
            ana.get(&format!("{path}{what}?as_of=yesterday")).await.refuses(400, "invalid_parameter");
        assert_eq!(problem["errors"][0]["pointer"], "/as_of");
    }
    let texts = |page: Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|message| message["text"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(texts(ask(&ben, &lunch, "/messages", &format!("as_of={after}")).await), ["hello ben"]);
    assert_eq!(
        texts(ask(&ana, &lunch, "/messages", &format!("as_of={after}")).await),
        ["hello ben", "a secret"]
    );
    ana.removes(&lunch, &ben).await.expect(204);
    ben.get(&format!("{path}/messages?as_of={after}")).await.refuses(404, "not_found");
    world.finish().await;
}
