//! Names are included with ids, and one request is enough for a first screen.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Conversation, Person, World, key};

/// An unused id.
const NOBODY: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

/// The ids of users in a part of an answer: all strings that are the id of a known person.
fn ids(part: &Value, people: &[&Person]) -> BTreeSet<String> {
    match part {
        Value::String(text) => {
            people.iter().filter(|person| person.id == *text).map(|person| person.id.clone()).collect()
        }
        Value::Array(parts) => parts.iter().flat_map(|part| ids(part, people)).collect(),
        Value::Object(fields) => fields.values().flat_map(|part| ids(part, people)).collect(),
        _ => BTreeSet::new(),
    }
}

fn summary(person: &Person) -> Value {
    let avatar = format!("https://example.com/{}.png", person.id);
    json!({ "display_name": format!("The {}", person.name), "avatar_url": avatar, "kind": "user" })
}

/// Compares a plain read with the same read including users: it has the name of each user whose id occurs in it.
async fn names(reader: &Person, path: &str, people: &[&Person]) -> BTreeSet<String> {
    let plain = reader.get(path).await.expect(200);
    assert_eq!(plain.get("users"), None, "{path}");
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut named = reader.get(&format!("{path}{separator}include=users")).await.expect(200);
    let users = named.as_object_mut().expect("an object").remove("users").expect("users");
    assert_eq!(named, plain, "{path}");
    let mentioned = ids(&plain, people);
    let expected: serde_json::Map<String, Value> = people
        .iter()
        .filter(|person| mentioned.contains(&person.id))
        .map(|person| (person.id.clone(), summary(person)))
        .collect();
    assert_eq!(users, Value::Object(expected), "{path}: {plain}");
    mentioned
}

async fn introduces_themselves(person: &Person) {
    let mut me = summary(person);
    me.as_object_mut().expect("an object").remove("kind");
    person.patch("/v1/me", me).await.expect(200);
}

#[tokio::test]
async fn every_read_names_the_users_whose_ids_it_has() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_ADD_STRANGERS", "false")]).await;
    let people = [world.person("ana").await, world.person("ben").await, world.person("cid").await];
    let [ana, ben, cid] = &people;
    for person in &people {
        introduces_themselves(person).await;
    }
    let all = [ana, ben, cid];
    let lunch = ana.starts_group("Lunch", &[]).await;
    for guest in [ben, cid] {
        assert_eq!(ana.invites(&lunch, guest).await.status, 202);
        assert_eq!(names(guest, "/v1/me/invitations", &all).await, BTreeSet::from([ana.id.clone()]));
        guest
            .send(reqwest::Method::POST, &format!("/v1/me/invitations/{}/accept", lunch.id), None)
            .await
            .reached();
    }
    let base = format!("/v1/conversations/{}", lunch.id);
    let text = format!("<@{}>, look at {}", cid.id, ana.id);
    let first = ben.says(&lunch, &text).await;
    let first = first["id"].as_str().expect("id");
    let reply = json!({ "client_id": "a-reply-of-ana", "text": "Pizza", "reply_to": first });
    ana.post(&format!("{base}/messages"), reply).await.expect(201);
    ana.put(&format!("{base}/messages/{first}/reactions/👍"), json!(null)).await.reached();
    ana.put(&format!("{base}/messages/{first}/pin"), json!(null)).await.reached();
    let spam = cid.says(&lunch, "Spam").await;
    let gone = ana.delete(&format!("{base}/messages/{}", spam["id"].as_str().expect("id"))).await.reached();
    ana.get(&format!("{base}?min_position={gone}")).await.expect(200);
    cid.put(&format!("/v1/me/blocks/{}", ben.id), json!(null)).await.expect(204);

    let of = |people: &[&Person]| people.iter().map(|person| person.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(ben, &format!("{base}/messages"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/messages?as_of={gone}"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/messages/{first}"), &all).await, of(&[ben, cid]));
    assert_eq!(names(ben, &format!("{base}/members"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/members?limit=1"), &all).await.len(), 1);
    assert_eq!(names(ben, &format!("{base}/receipts"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/presence"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/pins"), &all).await, of(&all));
    assert_eq!(names(ben, &format!("{base}/messages/{first}/reactions"), &all).await, of(&[ana]));
    assert_eq!(names(ben, &base, &all).await, of(&[cid]));
    assert_eq!(names(ben, "/v1/conversations", &all).await, of(&[cid]));
    assert_eq!(names(ben, "/v1/messages?query=pizza", &all).await, of(&[ana, ben]));
    assert_eq!(names(ben, &format!("/v1/users/{}/presence", ana.id), &all).await, of(&[ana]));
    assert_eq!(names(cid, "/v1/me/blocks", &all).await, of(&[ben]));
    let talk = Conversation::from(ana.starts_direct(cid).await.expect(201));
    assert_eq!(names(cid, &format!("/v1/conversations/{}", talk.id), &all).await, of(&[ana]));
    world.finish().await;
}

#[tokio::test]
async fn up_to_a_hundred_users_come_by_their_ids() {
    let world = World::start().await;
    let (ana, ben, cid) = (world.person("ana").await, world.person("ben").await, world.person("cid").await);
    let found = async |ids: &[&str]| {
        let page = ana.get(&format!("/v1/users?ids={}", ids.join(","))).await.expect(200);
        assert_eq!(page.get("next_cursor"), None);
        page["items"].as_array().expect("items").clone()
    };
    let whole = async |person: &Person| ana.get(&format!("/v1/users/{}", person.id)).await.expect(200);
    let expected = vec![whole(&cid).await, whole(&ana).await, whole(&ben).await];
    assert_eq!(found(&[&cid.id, NOBODY, &ana.id, &ben.id.to_uppercase(), &cid.id]).await, expected);
    assert_eq!(found(&[NOBODY]).await, Vec::<Value>::new());
    let mut hundred = vec![NOBODY; 99];
    hundred.push(&ben.id);
    assert_eq!(found(&hundred).await.len(), 1);
    let many: Vec<String> = futures_util::future::join_all((0..60).map(|n| {
        let world = &world;
        async move { world.person(&format!("guest{n}")).await.id }
    }))
    .await;
    assert_eq!(found(&many.iter().map(String::as_str).collect::<Vec<_>>()).await.len(), 60, "in one page");
    world.finish().await;
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.throw(of.len())]
    }
}

/// A random action in a conversation, which may be refused.
async fn something_happens(dice: &mut Dice, people: &[Person], talk: &Conversation) {
    let (actor, other) = (dice.one(people), dice.one(people));
    let base = format!("/v1/conversations/{}", talk.id);
    let page = actor.get(&format!("{base}/messages?limit=5")).await;
    let known: Vec<&str> = page.body["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|message| message["id"].as_str())
        .collect();
    let message =
        if known.is_empty() { String::new() } else { format!("{base}/messages/{}", dice.one(&known)) };
    match dice.throw(12) {
        0..=4 => drop(actor.sends(talk, &key(), &format!("<@{}> {}", other.id, dice.0)).await),
        5 => drop(actor.invites(talk, other).await),
        6 => drop(actor.removes(talk, other).await),
        7 => {
            let history = ["full", "since_join"][dice.throw(2)];
            actor.patch(&base, json!({ "history": history })).await;
        }
        8 => drop(actor.delete(&message).await),
        9 => drop(actor.patch(&message, json!({ "text": format!("edited {}", dice.0) })).await),
        10 => drop(actor.put(&format!("{message}/reactions/👍"), json!(null)).await),
        _ => drop(actor.put(&format!("{message}/pin"), json!(null)).await),
    }
}

/// Asserts that a person's first screen shows the same as separate reads of each conversation.
async fn sees_the_same_at_once(person: &Person, people: &[&Person]) -> usize {
    let screen = person.get("/v1/conversations?include=users,members,messages").await.expect(200);
    let mut plain = screen.clone();
    for conversation in plain["items"].as_array_mut().expect("items") {
        let fields = conversation.as_object_mut().expect("a conversation");
        let _ = ["members", "member_count", "messages"].map(|field| fields.remove(field).expect(field));
    }
    plain.as_object_mut().expect("a page").remove("users").expect("users");
    assert_eq!(plain, person.get("/v1/conversations").await.expect(200));
    for conversation in screen["items"].as_array().expect("items") {
        let base = format!("/v1/conversations/{}", conversation["id"].as_str().expect("id"));
        let members = person.get(&format!("{base}/members")).await.expect(200)["items"].clone();
        let members = members.as_array().expect("members");
        assert_eq!(conversation["member_count"], members.len());
        assert_eq!(conversation["members"], json!(members[..members.len().min(10)]));
        let messages = person.get(&format!("{base}/messages?limit=20")).await.expect(200);
        assert_eq!(conversation["messages"], messages["items"], "of {} for {}", base, person.name);
    }
    let named: BTreeSet<String> = screen["users"].as_object().expect("users").keys().cloned().collect();
    assert_eq!(named, ids(&screen["items"], people));
    screen["items"].as_array().expect("items").len()
}

#[tokio::test]
async fn a_first_screen_shows_what_the_single_reads_show() {
    let world = World::with_streams(2).await;
    let names = ["ana", "ben", "cid", "dan", "eve"];
    let people = futures_util::future::join_all(names.map(|name| world.person(name))).await;
    let guests = futures_util::future::join_all((0..9).map(|n| {
        let world = &world;
        async move { world.person(&format!("guest{n}")).await }
    }))
    .await;
    let all: Vec<&Person> = people.iter().chain(&guests).collect();
    let mut talks = vec![Conversation::from(people[0].starts_direct(&people[1]).await.expect(201))];
    for n in 0..4 {
        talks.push(people[n].starts_group("Supper", &[&people[(n + 1) % 5], &people[(n + 2) % 5]]).await);
    }
    talks.push(people[0].starts_group("A crowd", &all[1..]).await);
    let mut dice = Dice(17);
    let mut listed = 0;
    for round in 0..6 {
        for _ in 0..40 {
            let talk = talks[dice.throw(talks.len())].clone();
            something_happens(&mut dice, &people, &talk).await;
        }
        for talk in &talks {
            // Only views that have reached the end of the log can say that a message does not exist.
            for person in &people {
                let nothing = format!("/v1/conversations/{}/messages/{NOBODY}", talk.id);
                person.get(&nothing).await.refuses(404, "not_found");
            }
        }
        people[1].put(&format!("/v1/me/blocks/{}", people[round % 5].id), json!(null)).await;
        for person in &people {
            listed += sees_the_same_at_once(person, &all).await;
        }
    }
    assert!(listed > 60, "only {listed} conversations were compared");
    world.finish().await;
}

#[tokio::test]
async fn a_new_name_reaches_the_sockets_of_those_who_share_a_conversation() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let (ana, ben) = (world.person("ana").await, world.person_at(1, "ben").await);
    let (cid, dan) = (world.person_at(1, "cid").await, world.person_at(1, "dan").await);
    let lunch = ana.starts_group("Lunch", &[&ben, &dan]).await;
    ana.starts_direct(&ben).await.expect(201);
    ana.put(&format!("/v1/me/blocks/{}", dan.id), json!(null)).await.expect(204);
    let mut own = ana.at(world.nodes[1].address).connects().await;
    let (mut of_ben, mut of_cid, mut of_dan) =
        (ben.connects().await, cid.connects().await, dan.connects().await);

    let url = "https://example.com/ana.png";
    ana.patch("/v1/me", json!({ "display_name": "Ana María", "avatar_url": url })).await.expect(200);
    let expected = json!({
        "op": "user", "id": ana.id, "display_name": "Ana María", "avatar_url": url, "kind": "user",
    });
    assert_eq!(of_ben.gets("user").await, expected);
    assert_eq!(own.gets("user").await, expected);
    let members = format!("/v1/conversations/{}/members?include=users", lunch.id);
    assert_eq!(ben.get(&members).await.expect(200)["users"][&ana.id]["display_name"], "Ana María");

    // Setting the same value again is no change, so the next frame is about the next change.
    ana.patch("/v1/me", json!({ "display_name": "Ana María" })).await.expect(200);
    ana.patch("/v1/me", json!({ "avatar_url": null })).await.expect(200);
    let frame = of_ben.gets("user").await;
    assert_eq!((&frame["display_name"], &frame["avatar_url"]), (&json!("Ana María"), &Value::Null));

    // If a user changes the name in a loop, others receive a few changes a second, and the last name in the end.
    let told = |seen: &[Value]| seen.iter().filter(|frame| frame["op"] == "user").count() as u128;
    let (before, begin) = (told(&of_ben.seen), std::time::Instant::now());
    for n in 0..60 {
        ana.patch("/v1/me", json!({ "display_name": format!("Ana {n}") })).await.expect(200);
    }
    of_ben.waits_for("the last name", |frame| frame["display_name"] == "Ana 59").await;
    own.waits_for("the last name", |frame| frame["display_name"] == "Ana 59").await;
    let (frames, quarters) = (told(&of_ben.seen) - before, begin.elapsed().as_millis() / 250);
    assert!(frames <= quarters + 1, "{frames} frames in {quarters} quarters of a second");

    for (name, device) in [("a stranger", &mut of_cid), ("somebody who is blocked", &mut of_dan)] {
        device.catches_up().await;
        assert_eq!(told(&device.seen), 0, "{name}: {:?}", device.seen);
    }
    world.finish().await;
}
