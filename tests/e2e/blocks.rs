//! People block one another.

use serde_json::json;

use crate::world::{Conversation, Device, Person, World, eventually, key};

const QUICK: &[(&str, &str)] = &[("VERBATIM_PRESENCE_GRACE", "1")];

async fn two_nodes() -> World {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", QUICK).await;
    world.add_node_with("api,gateway", QUICK).await;
    world
}

async fn blocks(person: &Person, other: &Person) {
    person.put(&format!("/v1/me/blocks/{}", other.id), json!({})).await.expect(204);
}

async fn unblocks(person: &Person, other: &Person) {
    person.delete(&format!("/v1/me/blocks/{}", other.id)).await.expect(204);
}

/// Sends over a socket, and returns the code of the refusal.
async fn is_refused(device: &mut Device, to: &Conversation) -> String {
    let id = key();
    let frame =
        json!({ "op": "send", "id": id, "conversation_id": to.id, "client_id": id, "text": "let me" });
    device.tells(frame).await;
    let answer = device.waits_for("an answer", |frame| frame["id"] == id.as_str()).await;
    assert_eq!(answer["op"], "error", "{answer}");
    answer["code"].as_str().expect("code").to_owned()
}

#[tokio::test]
async fn who_is_blocked_cannot_write_to_the_other_nor_the_other_to_them_at_any_node() {
    let world = two_nodes().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let elsewhere = ben.at(world.nodes[1].address);
    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let (mut of_ana, mut of_ben) = (ana.connects().await, elsewhere.connects().await);
    let before = of_ben.says(&talk, "before").await;
    let first = key();
    let answer = elsewhere.sends(&talk, &first, "also before").await.expect(201);
    let position = answer["position"].as_u64().expect("position");
    assert_eq!(ana.history(&talk, position).await, ["before", "also before"]);

    // Nodes notify each other in order: a node that knows of the second block knows of the first.
    blocks(&ana, &cleo).await;
    blocks(&ana, &ben).await;
    blocks(&ana, &ben).await;
    eventually("the other node knows", || async {
        elsewhere.sends(&talk, &key(), "still here").await.status == 403
    })
    .await;
    let theirs = elsewhere.sends(&talk, &key(), "let me").await.refuses(403, "blocked");
    let mine = ana.sends(&talk, &key(), "and you").await.refuses(403, "blocked");
    assert_eq!(theirs["detail"], mine["detail"], "who has blocked whom is not told");
    assert_eq!(is_refused(&mut of_ben, &talk).await, "blocked");
    assert_eq!(is_refused(&mut of_ana, &talk).await, "blocked");
    of_ben.tells(json!({ "op": "typing", "id": "t", "conversation_id": talk.id })).await;
    assert_eq!(of_ben.waits_for("an answer", |frame| frame["id"] == "t").await["code"], "blocked");
    let of_it = |what: &str| {
        let id = before["message_id"].as_str().expect("an id");
        format!("/v1/conversations/{}/messages/{id}{what}", talk.id)
    };
    elsewhere.patch(&of_it(""), json!({ "text": "let me" })).await.refuses(403, "blocked");
    ana.put(&of_it("/reactions/👍"), json!({})).await.refuses(403, "blocked");
    // A retry of an earlier message gets the same answer.
    assert_eq!(elsewhere.sends(&talk, &first, "also before").await.expect(201), answer);

    // Everything stays unless its sender deletes it: the history, the conversation itself, groups.
    assert!(elsewhere.history(&talk, position).await.starts_with(&["before".into(), "also before".into()]));
    assert_eq!(elsewhere.starts_direct(&ana).await.expect(200)["id"], talk.id.as_str());
    elsewhere.delete(&of_it("")).await.expect(204);
    elsewhere.says(&lunch, "in the group").await;
    of_ana.sees("in the group").await;

    let beyond = cleo.at(world.nodes[1].address);
    beyond.starts_direct(&ana).await.refuses(403, "blocked");
    ana.starts_direct(&cleo).await.refuses(403, "blocked");

    let page = ana.get("/v1/me/blocks?limit=1").await.expect(200);
    assert_eq!(page["items"][0]["user_id"], ben.id.as_str(), "the last one comes first");
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = ana.get(&format!("/v1/me/blocks?cursor={cursor}")).await.expect(200);
    assert_eq!((&rest["items"][0]["user_id"], &rest["next_cursor"]), (&json!(cleo.id), &json!(null)));
    assert_eq!(elsewhere.get("/v1/me/blocks").await.expect(200)["items"], json!([]), "it is hers alone");

    unblocks(&ana, &ben).await;
    unblocks(&ana, &ben).await;
    eventually("the other node knows that it is over", || async {
        elsewhere.sends(&talk, &key(), "again").await.status == 201
    })
    .await;
    of_ana.sees("again").await;
    ana.says(&talk, "welcome back").await;

    ana.put(&format!("/v1/me/blocks/{}", ana.id), json!({})).await.refuses(400, "with_oneself");
    ana.put(&format!("/v1/me/blocks/{}", talk.id), json!({})).await.refuses(404, "not_found");
    ana.delete(&format!("/v1/me/blocks/{}", talk.id)).await.refuses(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn a_blocked_user_cannot_add_the_other_to_a_group_at_any_node() {
    let world = two_nodes().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let elsewhere = ben.at(world.nodes[1].address);
    let (lunch, idempotency_key) = (ben.starts_group("Lunch", &[&cleo]).await, key());
    let start = |members: &[&Person]| {
        let members: Vec<_> = members.iter().map(|person| person.id.clone()).collect();
        json!({ "kind": "group", "title": "Trap", "members": members })
    };
    let retrying = elsewhere.with_header("idempotency-key", &idempotency_key);
    let before = retrying.post("/v1/conversations", start(&[&ana])).await.expect(201);

    blocks(&ana, &ben).await;
    eventually("the other node knows", || async {
        elsewhere.post("/v1/conversations", start(&[&cleo, &ana])).await.status == 403
    })
    .await;
    elsewhere.post("/v1/conversations", start(&[&ana])).await.refuses(403, "blocked");
    let members = format!("/v1/conversations/{}/members", lunch.id);
    elsewhere.post(&members, json!({ "user_id": ana.id })).await.refuses(403, "blocked");

    // A retry gets the same answer, others may add her, and she may add the user whom she has blocked.
    let again = retrying.post("/v1/conversations", start(&[&ana])).await.expect(201);
    assert_eq!(again["id"], before["id"]);
    elsewhere.patch(&format!("{members}/{}", cleo.id), json!({ "role": "admin" })).await.expect(200);
    cleo.post(&members, json!({ "user_id": ana.id })).await.expect(201);
    ana.starts_group("Peace", &[&ben]).await;

    unblocks(&ana, &ben).await;
    eventually("the other node knows that it is over", || async {
        elsewhere.post("/v1/conversations", start(&[&ana])).await.status == 201
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn who_is_blocked_does_not_see_whether_the_other_is_here() {
    let world = two_nodes().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let elsewhere = ben.at(world.nodes[1].address);
    let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
    let (mut of_ben, mut of_cleo) = (elsewhere.connects().await, cleo.connects().await);
    let is_ana = |frame: &serde_json::Value| frame["op"] == "presence" && frame["user_id"] == ana.id.as_str();
    let of_ana = ana.connects().await;
    of_ben.waits_for("ana comes", is_ana).await;
    of_cleo.waits_for("ana comes", is_ana).await;
    let path = format!("/v1/users/{}/presence", ana.id);
    assert_eq!(elsewhere.get(&path).await.expect(200)["status"], "online");

    blocks(&ana, &ben).await;
    eventually("the other node knows", || async { elsewhere.get(&path).await.status == 404 }).await;
    elsewhere.get(&path).await.refuses(404, "not_found");
    assert_eq!(cleo.get(&path).await.expect(200)["status"], "online");
    assert_eq!(ana.get(&format!("/v1/users/{}/presence", ben.id)).await.expect(200)["status"], "online");
    let seen_by = async |person: &Person| {
        let page = person.get(&format!("/v1/conversations/{}/presence", lunch.id)).await.expect(200);
        let items = page["items"].as_array().expect("items").clone();
        items.into_iter().find(|item| item["user_id"] == ana.id.as_str()).expect("she is a member")
    };
    assert_eq!(seen_by(&elsewhere).await, json!({ "user_id": ana.id, "status": "offline" }));
    assert_eq!(seen_by(&cleo).await["status"], "online");

    of_ben.catches_up().await;
    let before = of_ben.seen.iter().filter(|frame| is_ana(frame)).count();
    of_ana.leaves().await;
    of_cleo.waits_for("ana goes", |frame| is_ana(frame) && frame["status"] == "offline").await;
    // Another user's disconnect is announced after hers.
    of_cleo.leaves().await;
    of_ben
        .waits_for("cleo goes", |frame| frame["user_id"] == cleo.id.as_str() && frame["status"] == "offline")
        .await;
    assert_eq!(of_ben.seen.iter().filter(|frame| is_ana(frame)).count(), before, "{:#?}", of_ben.seen);
    assert!(seen_by(&elsewhere).await.get("last_seen_at").is_none());

    unblocks(&ana, &ben).await;
    let _of_ana = ana.connects().await;
    eventually("ben sees her again", || async { elsewhere.get(&path).await.status == 200 }).await;
    of_ben.waits_for("ana comes", |frame| is_ana(frame) && frame["status"] == "online").await;
    world.finish().await;
}
