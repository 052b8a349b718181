//! People edit, delete, react, reply, mention and pin, over REST and over sockets, under the same rules.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Conversation, Device, Person, World, assert_linked, key};

/// A person who uses REST or a socket.
enum Door {
    Rest(Person),
    Socket(Box<Device>),
}

impl Door {
    async fn both(person: &Person) -> [Self; 2] {
        [Self::Rest(person.clone()), Self::Socket(Box::new(person.connects().await))]
    }

    /// Acts on a message. The error is the code of the refusal.
    async fn does(&mut self, op: &str, message: &Message, with: &str) -> Result<(), String> {
        let (conversation, id) = (&message.conversation, &message.id);
        match self {
            Self::Rest(person) => {
                let path = format!("/v1/conversations/{conversation}/messages/{id}");
                let answer = match op {
                    "edit" => person.patch(&path, json!({ "text": with })).await,
                    "delete" => person.delete(&path).await,
                    "react" => person.put(&format!("{path}/reactions/{with}"), json!({})).await,
                    "unreact" => person.delete(&format!("{path}/reactions/{with}")).await,
                    "pin" => person.put(&format!("{path}/pin"), json!({})).await,
                    "unpin" => person.delete(&format!("{path}/pin")).await,
                    op => panic!("{op}"),
                };
                match answer.status.as_u16() {
                    200 | 204 => Ok(()),
                    _ => Err(answer.body["code"].as_str().expect("code").to_owned()),
                }
            }
            Self::Socket(device) => {
                let name = key();
                let mut frame =
                    json!({ "op": op, "id": name, "conversation_id": conversation, "message_id": id });
                match op {
                    "edit" => frame["text"] = with.into(),
                    "react" | "unreact" => frame["emoji"] = with.into(),
                    _ => {}
                }
                device.tells(frame).await;
                let answer = device.waits_for("an answer", |frame| frame["id"] == name.as_str()).await;
                match answer["op"].as_str() {
                    Some("ack") => {
                        assert!(
                            answer["position"].is_u64() && answer["message_id"] == id.as_str(),
                            "{answer}"
                        );
                        Ok(())
                    }
                    _ => Err(answer["code"].as_str().expect("code").to_owned()),
                }
            }
        }
    }
}

/// A sent message.
#[derive(Clone)]
struct Message {
    conversation: String,
    id: String,
    position: u64,
}

impl From<&Value> for Message {
    fn from(sent: &Value) -> Self {
        let text = |field: &str| sent[field].as_str().expect(field).to_owned();
        let position = sent["position"].as_u64().expect("position");
        Self { conversation: text("conversation_id"), id: text("id"), position }
    }
}

impl Message {
    fn path(&self) -> String {
        format!("/v1/conversations/{}/messages/{}", self.conversation, self.id)
    }

    /// The message as a person sees it once the views have reached a position.
    async fn seen_by(&self, person: &Person, position: u64) -> Value {
        person.get(&format!("{}?min_position={position}", self.path())).await.expect(200)
    }
}

async fn say(person: &Person, to: &Conversation, text: &str) -> Message {
    Message::from(&person.says(to, text).await)
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn the_same_rules_hold_at_both_doors() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (cem, eve) = (world.person("cem").await, world.person("eve").await);
    let lunch = ana.starts_group("Lunch", &[&ben, &cem]).await;
    for door in 0..2 {
        let [mut ana_s, mut ben_s, mut cem_s, mut eve_s] =
            join_all([&ana, &ben, &cem, &eve].map(Door::both)).await.try_into().unwrap_or_else(|_| panic!());
        let (ana_, ben_, cem_) = (&mut ana_s[door], &mut ben_s[door], &mut cem_s[door]);
        let eve_ = &mut eve_s[door];
        let hi = say(&ben, &lunch, "hi").await;
        for (op, with) in
            [("edit", "x"), ("delete", ""), ("react", "👍"), ("unreact", "👍"), ("pin", ""), ("unpin", "")]
        {
            assert_eq!(eve_.does(op, &hi, with).await, refused("not_found"), "{op} by a stranger");
            let nowhere = Message { id: lunch.id.clone(), ..hi.clone() };
            assert_eq!(ben_.does(op, &nowhere, with).await, refused("not_found"), "{op} of nothing");
        }
        assert_eq!(ben_.does("edit", &hi, "hello").await, Ok(()), "just sent");
        assert_eq!(ben_.does("edit", &hi, "hello").await, Ok(()), "so already");
        assert_eq!(ana_.does("edit", &hi, "I said").await, refused("forbidden"));
        assert_eq!(cem_.does("react", &hi, "👍").await, Ok(()));
        assert_eq!(cem_.does("react", &hi, "👍").await, Ok(()));
        assert_eq!(cem_.does("unreact", &hi, "❤️").await, Ok(()), "it was not there");
        assert_eq!(cem_.does("unreact", &hi, "👍").await, Ok(()));
        assert_eq!(cem_.does("react", &hi, "👍").await, Ok(()), "back again");
        assert!(cem_.does("react", &hi, "thumbs").await.is_err());
        assert_eq!(ben_.does("pin", &hi, "").await, refused("forbidden"));
        assert_eq!(ana_.does("pin", &hi, "").await, Ok(()));
        assert_eq!(ana_.does("pin", &hi, "").await, Ok(()));
        assert_eq!(ben_.does("unpin", &hi, "").await, refused("forbidden"));
        assert_eq!(cem_.does("delete", &hi, "").await, refused("forbidden"));
        let mine = say(&ben, &lunch, "mine").await;
        assert_eq!(ben_.does("delete", &mine, "").await, Ok(()), "by its sender");
        assert_eq!(ana_.does("delete", &hi, "").await, Ok(()), "by an owner");
        assert_eq!(ana_.does("delete", &hi, "").await, Ok(()), "so already");
        for (op, with) in [("edit", "again"), ("react", "👍")] {
            assert_eq!(ben_.does(op, &hi, with).await, refused("message_deleted"), "{op}");
        }
        assert_eq!(ana_.does("pin", &hi, "").await, refused("message_deleted"));
        assert_eq!(ana_.does("unpin", &hi, "").await, Ok(()));
        assert_eq!(cem_.does("unreact", &hi, "👍").await, Ok(()));
        let end = ana.says(&lunch, "the end").await["position"].as_u64().expect("position");
        let gone = hi.seen_by(&cem, end).await;
        assert_eq!((&gone["text"], &gone["deleted_by"]), (&json!(""), &json!(ana.id)), "{gone}");
        assert!(gone["deleted_at"].is_string() && gone["edited_at"].is_null(), "{gone}");
        assert_eq!((&gone["reactions"], &gone["pinned"]), (&json!([]), &json!(false)));
        for list in ["versions", "reactions"] {
            let page = cem.get(&format!("{}/{list}", hi.path())).await.expect(200);
            assert_eq!(page["items"], json!([]), "{list}");
        }
    }
    let log = ana.get("/v1/conversations").await.expect(200);
    assert_eq!(log["items"][0]["last_message"]["text"], "the end");
    world.finish().await;
}

#[tokio::test]
async fn what_becomes_of_messages_is_seen_live_after_a_resume_and_in_every_answer() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    let mut live = ben.connects().await;
    let cursor = live.cursor();
    let question = say(&ana, &talk, "pizza?").await;
    let path = format!("/v1/conversations/{}/messages", talk.id);
    let mentions = format!("yes, <@{}>", ana.id);
    let body =
        json!({ "client_id": key(), "text": mentions, "reply_to": question.id, "metadata": { "n": [1] } });
    let sent = ben.post(&path, body).await.expect(201);
    assert_eq!(sent["reply_to"]["id"], question.id.as_str());
    assert_eq!((&sent["mentions"], &sent["metadata"]), (&json!([ana.id]), &json!({ "n": [1] })));
    let answer = Message::from(&sent);
    let mut door = Door::Rest(ana.clone());
    assert_eq!(door.does("edit", &question, "pasta?").await, Ok(()));
    assert_eq!(door.does("react", &answer, "👩‍👩‍👧").await, Ok(()));
    assert_eq!(door.does("react", &answer, "❤️").await, Ok(()));
    assert_eq!(door.does("unreact", &answer, "❤️").await, Ok(()));
    assert_eq!(Door::Rest(ben.clone()).does("react", &answer, "👩‍👩‍👧").await, Ok(()));
    assert_eq!(door.does("pin", &answer, "").await, Ok(()));
    let pinned = live.gets_event("message.pinned").await;
    assert_eq!((&pinned["data"]["message_id"], &pinned["actor"]), (&json!(answer.id), &json!(ana.id)));
    assert_eq!(pinned["data"]["message_position"], answer.position);
    let at = pinned["position"].as_u64().expect("position");

    let seen = answer.seen_by(&ana, at).await;
    assert_eq!(seen["reactions"], json!([{ "emoji": "👩‍👩‍👧", "count": 2, "mine": true }]));
    assert_eq!((&seen["pinned"], &seen["mentions"]), (&json!(true), &json!([ana.id])));
    assert_eq!(seen["metadata"], json!({ "n": [1] }));
    let quote = json!({
        "id": question.id, "position": question.position, "sender": ana.id, "text": "pasta?", "deleted": false,
    });
    assert_eq!(seen["reply_to"], quote);
    let page = ben.get(&path).await.expect(200);
    assert_eq!(page["items"][0], seen, "the same in a page");
    assert_eq!((&page["items"][1]["text"], &page["items"][1]["pinned"]), (&json!("pasta?"), &json!(false)));
    assert!(page["items"][1]["edited_at"].is_string(), "{page}");
    let around = ben.get(&format!("{path}?around={}", question.position)).await.expect(200);
    assert_eq!(around["items"], page["items"]);
    let texts = |page: &Value, field: &str| -> Vec<Value> {
        page["items"].as_array().expect("items").iter().map(|item| item[field].clone()).collect()
    };
    let first = ben.get(&format!("{}/versions?limit=1", question.path())).await.expect(200);
    assert_eq!(texts(&first, "text"), ["pizza?"]);
    let cursor_of = first["next_cursor"].as_str().expect("there is more");
    let rest = ben.get(&format!("{}/versions?cursor={cursor_of}", question.path())).await.expect(200);
    assert_eq!(texts(&rest, "text"), ["pasta?"]);
    let only = ben.get(&format!("{}/versions", answer.path())).await.expect(200);
    assert_eq!(texts(&only, "text"), [json!(mentions)]);
    let who = ana.get(&format!("{}/reactions", answer.path())).await.expect(200);
    assert_eq!(texts(&who, "user_id"), [json!(ana.id), json!(ben.id)]);
    let pins = ben.get(&format!("/v1/conversations/{}/pins", talk.id)).await.expect(200);
    assert_eq!((&pins["items"][0]["message"], &pins["items"][0]["pinned_by"]), (&seen, &json!(ana.id)));

    let mine = ana.get(&format!("/v1/conversations/{}", talk.id)).await.expect(200);
    assert_eq!((&mine["unread"], &mine["mentions"]), (&json!(1), &json!(1)));
    assert_eq!(mine["last_message"]["text"], mentions.as_str());
    assert_eq!(Door::Rest(ben.clone()).does("edit", &answer, "yes").await, Ok(()));
    let edited = live.gets_event("message.edited").await["position"].clone();
    let mine = ana.get(&format!("/v1/conversations/{}?min_position={edited}", talk.id)).await.expect(200);
    assert_eq!((&mine["unread"], &mine["mentions"]), (&json!(1), &json!(0)));
    assert_eq!(mine["last_message"]["text"], "yes");
    assert_eq!(Door::Rest(ben.clone()).does("delete", &answer, "").await, Ok(()));
    let deleted = live.gets_event("message.deleted").await["position"].clone();
    let mine = ana.get(&format!("/v1/conversations/{}?min_position={deleted}", talk.id)).await.expect(200);
    assert_eq!((&mine["unread"], &mine["last_message"]["text"]), (&json!(0), &json!("")));
    assert!(mine["last_message"]["deleted_at"].is_string(), "{mine}");
    let pins = ben.get(&format!("/v1/conversations/{}/pins", talk.id)).await.expect(200);
    assert_eq!(pins["items"], json!([]));

    let mut back = ben.resumes(&cursor).await;
    back.gets("caught_up").await;
    assert_eq!(back.chain(&talk), live.chain(&talk));
    assert_linked(&back.chain(&talk));
    let told = |device: &Device| -> Vec<Value> {
        device.seen.iter().filter(|frame| frame["op"] == "event").map(|frame| frame["type"].clone()).collect()
    };
    assert_eq!(
        told(&back),
        [
            "message.sent",
            "message.sent",
            "message.edited",
            "reaction.added",
            "reaction.added",
            "reaction.removed",
            "reaction.added",
            "message.pinned",
            "message.edited",
            "message.deleted",
        ]
    );
    world.finish().await;
}

#[tokio::test]
async fn a_reply_answers_what_is_there_and_metadata_has_limits() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, work) = (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Work", &[&ben]).await);
    let [here, gone] = [say(&ana, &lunch, "here").await, say(&ana, &lunch, "gone").await];
    let there = say(&ana, &work, "there").await;
    assert_eq!(Door::Rest(ana.clone()).does("delete", &gone, "").await, Ok(()));
    let mut device = ben.connects().await;
    let path = format!("/v1/conversations/{}/messages", lunch.id);
    let nested = (0..9).fold(json!(1), |inner, _| json!([inner]));
    for (field, value, code) in [
        ("reply_to", json!(there.id), "bad_reference"),
        ("reply_to", json!(lunch.id), "bad_reference"),
        ("reply_to", json!(gone.id), "bad_reference"),
        ("reply_to", json!("x"), "invalid_body"),
        ("metadata", json!([]), "invalid_body"),
        ("metadata", json!({ "a": "\u{0}" }), "invalid_body"),
        ("metadata", json!({ "a": nested }), "invalid_body"),
        ("metadata", json!({ "a": "x".repeat(4096) }), "invalid_body"),
    ] {
        let mut body = json!({ "client_id": key(), "text": "hm" });
        body[field] = value.clone();
        let problem = ben.post(&path, body.clone()).await;
        assert_eq!(problem.body["code"], code, "{field} {}", problem.body);
        body["op"] = "send".into();
        body["id"] = "bad".into();
        body["conversation_id"] = lunch.id.as_str().into();
        device.tells(body).await;
        let error = device.gets("error").await;
        let code = if code == "invalid_body" { "invalid_frame" } else { code };
        assert_eq!((&error["id"], &error["code"]), (&json!("bad"), &json!(code)), "{error}");
    }
    let send = json!({
        "op": "send", "id": "good", "conversation_id": lunch.id, "client_id": "the-same-key", "text": "yes",
        "reply_to": here.id, "metadata": { "b": 1, "a": 2 },
    });
    device.tells(send).await;
    let ack = device.waits_for("ack", |frame| frame["id"] == "good").await;
    let same = |reply: Option<&str>, n: u64| {
        let mut body = json!({ "client_id": "the-same-key", "text": "yes", "metadata": { "a": n, "b": 1 } });
        if let Some(reply) = reply {
            body["reply_to"] = reply.into();
        }
        body
    };
    assert_eq!(ben.post(&path, same(Some(&here.id), 2)).await.expect(201)["position"], ack["position"]);
    ben.post(&path, same(Some(&here.id), 3)).await.refuses(409, "idempotency_mismatch");
    ben.post(&path, same(None, 2)).await.refuses(409, "idempotency_mismatch");
    world.finish().await;
}

#[tokio::test]
async fn a_key_counts_for_what_is_done_with_messages_too_and_a_sent_message_is_answered_as_it_was() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let first = ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201);
    let message = Message::from(&first);
    let pasta = json!({ "text": "pasta?" });
    let edited = ana.with_key("the-first-edit").patch(&message.path(), pasta.clone()).await.expect(200);
    assert_eq!(ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201), first);
    let soup = ana.patch(&message.path(), json!({ "text": "soup?" })).await.expect(200);
    message.seen_by(&ana, soup["position"].as_u64().expect("position")).await;
    // At once, before the views have the first attempt: a retry that changes nothing by now is still a retry.
    for round in 0..15 {
        let keyed = ana.with_key(&format!("at-once-{round}"));
        let text = json!({ "text": format!("sauce {round}") });
        let sauce = keyed.patch(&message.path(), text.clone()).await.expect(200);
        assert_eq!(keyed.patch(&message.path(), text).await.expect(200), sauce, "round {round}");
        let keyed = ana.with_key(&format!("pin-at-once-{round}"));
        let pin = format!("{}/pin", say(&ana, &lunch, "the menu").await.path());
        let pinned = keyed.put(&pin, json!({})).await.reached();
        say(&ben, &lunch, "in between").await;
        assert_eq!(keyed.put(&pin, json!({})).await.reached(), pinned, "round {round}");
        let dish = say(&ana, &lunch, "a dish").await;
        let keyed = ana.with_key(&format!("off-at-once-{round}"));
        let edit = json!({ "text": "another dish" });
        let edited = keyed.patch(&dish.path(), edit.clone()).await.expect(200);
        ana.delete(&dish.path()).await.reached();
        assert_eq!(keyed.patch(&dish.path(), edit).await.expect(200), edited, "round {round}, deleted since");
    }
    let soup = ana.patch(&message.path(), json!({ "text": "soup?" })).await.expect(200);
    message.seen_by(&ana, soup["position"].as_u64().expect("position")).await;
    let mut device = ana.connects().await;
    for forgets in [false, true] {
        if forgets {
            world.the_log_forgets_keys().await;
        }
        for ana in [&ana, &ana.at(world.nodes[1].address)] {
            let again =
                ana.with_key("the-first-edit").patch(&message.path(), pasta.clone()).await.expect(200);
            assert_eq!(again, edited, "and nothing happens");
            let keyed = ana.with_key("the-first-edit");
            keyed.patch(&message.path(), json!({ "text": "x" })).await.refuses(409, "idempotency_mismatch");
            keyed.delete(&message.path()).await.refuses(409, "idempotency_mismatch");
            ana.sends(&lunch, "the-first-edit", "x").await.refuses(409, "idempotency_mismatch");
            assert_eq!(ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201), first);
        }
        let frame = json!({
            "op": "edit", "id": "again", "conversation_id": lunch.id, "message_id": message.id,
            "client_id": "the-first-edit", "text": "pasta?",
        });
        device.tells(frame).await;
        let ack = device.waits_for("ack", |frame| frame["id"] == "again").await;
        assert_eq!(ack["position"], edited["position"]);
    }
    assert_eq!(message.seen_by(&ben, 0).await["text"], "soup?");
    assert_eq!(Door::Rest(ana.clone()).does("delete", &message, "").await, Ok(()));
    device.gets_event("message.deleted").await;
    assert_eq!(ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201), first);
    ana.sends(&lunch, "pizza-or-pasta", "soup?").await.refuses(409, "idempotency_mismatch");
    world.finish().await;
}

#[tokio::test]
async fn whoever_is_late_in_a_race_changes_nothing_in_any_view() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let elsewhere = ana.at(world.nodes[1].address);
    let mut device = ben.connects().await;
    for round in 0..5 {
        let message = say(&ana, &lunch, &format!("round {round}")).await;
        let tries = (0..10).map(|n| {
            let ana = if n % 2 == 0 { &ana } else { &elsewhere };
            let (message, mut ben) = (message.clone(), Door::Rest(ben.clone()));
            let mut ana = Door::Rest(ana.clone());
            async move {
                match n {
                    0..4 => {
                        ana.does("edit", &message, &format!("edit {n} <@{}>", message.conversation)).await
                    }
                    4..6 => ben.does("react", &message, "👍").await,
                    6 => ana.does("pin", &message, "").await,
                    7 => ben.does("unreact", &message, "👍").await,
                    8 if round % 2 == 0 => ana.does("delete", &message, "").await,
                    _ => ben.does("react", &message, "❤️").await,
                }
            }
        });
        for answer in join_all(tries).await {
            assert!(answer.is_ok() || answer == refused("message_deleted"), "{answer:?}");
        }
        let end = ana.says(&lunch, &format!("end of {round}")).await["position"].as_u64().expect("position");
        device.sees(&format!("end of {round}")).await;
        let last_edit = device.seen.iter().rev().find(|frame| {
            frame["type"] == "message.edited" && frame["data"]["message_id"] == message.id.as_str()
        });
        let seen = message.seen_by(&ben, end).await;
        if round % 2 == 0 {
            assert_eq!((&seen["text"], &seen["reactions"]), (&json!(""), &json!([])), "{seen}");
            assert_eq!(seen["pinned"], false);
        } else {
            assert_eq!(seen["text"], last_edit.expect("an edit")["data"]["text"], "{seen}");
            let counts = seen["reactions"].as_array().expect("reactions");
            assert!(counts.iter().all(|count| count["count"] == 1), "{seen}");
        }
    }
    assert_linked(&device.chain(&lunch));
    world.finish().await;
}

#[tokio::test]
async fn what_was_said_before_joining_is_not_there_for_who_may_not_read_it() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let path = format!("/v1/conversations/{}", lunch.id);
    ana.patch(&path, json!({ "history": "since_join" })).await.expect(200);
    let before = say(&ana, &lunch, "before").await;
    assert_eq!(Door::Rest(ana.clone()).does("pin", &before, "").await, Ok(()));
    ana.invites(&lunch, &ben).await.expect(201);
    let (mut device, mut of_ana) = (ben.connects().await, ana.connects().await);
    let after = &say(&ana, &lunch, "after").await;
    for (message, text) in [(&before, "the secret"), (after, "no secret")] {
        assert_eq!(Door::Rest(ana.clone()).does("edit", message, text).await, Ok(()));
    }
    let hidden = json!({ "message_id": before.id, "erased": true });
    let events = ben.get(&format!("/v1/events?after={}", device.cursor())).await.expect(200);
    let mut resumed = ben.resumes(&device.cursor()).await;
    for device in [&mut device, &mut resumed] {
        assert_eq!(device.gets_event("message.edited").await["data"], hidden);
        assert_eq!(device.gets_event("message.edited").await["data"]["text"], "no secret");
        assert_linked(&device.chain(&lunch));
    }
    assert_eq!(of_ana.gets_event("message.edited").await["data"]["text"], "the secret");
    let edits = events["items"].as_array().expect("items").iter();
    let edits: Vec<_> = edits.filter(|event| event["type"] == "message.edited").collect();
    assert!(edits.len() == 2 && edits[0]["data"] == hidden, "{events}");
    assert_eq!(edits[1]["data"]["text"], "no secret");
    for mut door in Door::both(&ben).await {
        for (op, with) in [("edit", "x"), ("delete", ""), ("react", "👍"), ("unreact", "👍")] {
            assert_eq!(door.does(op, &before, with).await, refused("not_found"), "{op}");
        }
    }
    ben.get(&before.path()).await.refuses(404, "not_found");
    ben.get(&format!("{}/reactions", before.path())).await.refuses(404, "not_found");
    ben.get(&format!("{}/versions", before.path())).await.refuses(404, "not_found");
    let reply = json!({ "client_id": key(), "text": "what?", "reply_to": before.id });
    ben.post(&format!("{path}/messages"), reply).await.refuses(400, "bad_reference");
    let reply = json!({ "client_id": key(), "text": "as I said", "reply_to": before.id });
    let reply = Message::from(&ana.post(&format!("{path}/messages"), reply).await.expect(201));
    let seen = reply.seen_by(&ben, reply.position).await;
    let place = json!({ "id": before.id, "position": before.position, "deleted": false });
    assert_eq!(seen["reply_to"], place, "there is only its place");
    let pins = ben.get(&format!("{path}/pins")).await.expect(200);
    assert_eq!(pins["items"], json!([]));
    let pins = ana.get(&format!("{path}/pins")).await.expect(200);
    assert_eq!(pins["items"][0]["message"]["text"], "the secret");
    world.finish().await;
}
