//! Adding strangers to conversations when their consent is needed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Conversation, Person, World, eventually};

const CONSENT: (&str, &str) = ("VERBATIM_ADD_STRANGERS", "false");

async fn careful_world() -> World {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[CONSENT]).await;
    world
}

async fn invitations(person: &Person) -> Vec<Value> {
    let page = person.get("/v1/me/invitations").await.expect(200);
    page["items"].as_array().expect("a list").clone()
}

async fn accepts(person: &Person, conversation: &str) -> u64 {
    let path = format!("/v1/me/invitations/{conversation}/accept");
    person.send(Method::POST, &path, None).await.reached()
}

async fn reads(person: &Person, conversation: &str) -> u16 {
    person.get(&format!("/v1/conversations/{conversation}")).await.status.as_u16()
}

#[tokio::test]
async fn a_stranger_joins_a_group_by_accepting() {
    let world = careful_world().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let mut device = ben.connects().await;
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    let told = device.gets("invited").await;
    assert_eq!((&told["conversation_id"], &told["invited_by"]), (&json!(lunch.id), &json!(ana.id)));
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202, "again");
    assert_eq!(reads(&ben, &lunch.id).await, 404);
    let open = invitations(&ben).await;
    assert_eq!(open.len(), 1);
    assert_eq!((&open[0]["kind"], &open[0]["title"]), (&json!("group"), &json!("Lunch")));
    assert_eq!(open[0]["invited_by"], json!(ana.id));
    let joined = accepts(&ben, &lunch.id).await;
    assert!(invitations(&ben).await.is_empty());
    assert_eq!(accepts(&ben, &lunch.id).await, joined, "the answer of the first attempt may have been lost");
    ben.says(&lunch, "Here I am").await;
    // Now they know one another.
    eventually("they share a conversation in the views", || async {
        ana.starts_direct(&ben).await.status != 202
    })
    .await;
    world.finish().await;
}

#[tokio::test]
async fn a_direct_conversation_of_strangers_begins_when_both_want_it() {
    let world = careful_world().await;
    let (ana, ben, cid) = (world.person("ana").await, world.person("ben").await, world.person("cid").await);
    assert_eq!(ana.starts_direct(&ben).await.status, 202);
    let id = invitations(&ben).await[0]["conversation_id"].as_str().expect("an id").to_owned();
    assert_eq!(reads(&ana, &id).await, 404);
    accepts(&ben, &id).await;
    let talk = Conversation { id, position: 0 };
    ana.says(&talk, "Hello").await;
    // If both invite each other, the second request counts as consent.
    assert_eq!(cid.starts_direct(&ben).await.status, 202);
    ben.starts_direct(&cid).await.expect(201);
    assert!(invitations(&ben).await.is_empty(), "they are in it");
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_that_is_declined_or_blocked_or_expired_or_out_of_date_brings_nobody_in() {
    let world = careful_world().await;
    let (ana, ben, cid) = (world.person("ana").await, world.person("ben").await, world.person("cid").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let refused =
        ana.post("/v1/conversations", json!({ "kind": "group", "title": "x", "members": [ben.id] })).await;
    refused.refuses(403, "consent_required");
    let path = format!("/v1/me/invitations/{}", lunch.id);
    let accept = format!("{path}/accept");
    let accepted = async |by: &Person| by.send(Method::POST, &accept, None).await;

    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    ben.delete(&path).await.expect(204);
    ben.delete(&path).await.refuses(404, "not_found");
    accepted(&ben).await.refuses(404, "not_found");
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202, "nobody is told");
    assert!(invitations(&ben).await.is_empty());

    assert_eq!(ana.invites(&lunch, &cid).await.status, 202);
    accepted(&ben).await.refuses(404, "not_found");
    world.database.does("update auth.invitation set expires_at = now() where not declined").await;
    assert!(invitations(&cid).await.is_empty());
    accepted(&cid).await.refuses(404, "not_found");
    assert_eq!(ana.invites(&lunch, &cid).await.status, 202);
    cid.put(&format!("/v1/me/blocks/{}", ana.id), Value::Null).await.expect(204);
    assert!(invitations(&cid).await.is_empty());
    accepted(&cid).await.refuses(403, "blocked");
    ana.invites(&lunch, &cid).await.refuses(403, "blocked");
    cid.delete(&format!("/v1/me/blocks/{}", ana.id)).await.expect(204);
    ana.removes(&lunch, &ana).await.reached();
    accepted(&cid).await.refuses(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn an_inviter_takes_an_invitation_back_by_removing_or_blocking_the_user() {
    let world = careful_world().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let path = format!("/v1/me/invitations/{}", lunch.id);
    let accept = format!("{path}/accept");
    let accepted = async || ben.send(Method::POST, &accept, None).await;

    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    ana.removes(&lunch, &ben).await.reached();
    assert!(invitations(&ben).await.is_empty());
    accepted().await.refuses(404, "not_found");

    let block = format!("/v1/me/blocks/{}", ben.id);
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    ana.put(&block, Value::Null).await.expect(204);
    accepted().await.refuses(403, "blocked");
    ana.removes(&lunch, &ben).await.reached();
    ana.invites(&lunch, &ben).await.refuses(403, "blocked");
    ana.delete(&block).await.expect(204);

    // An inviter cannot ask again by taking back what was declined.
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    ben.delete(&path).await.expect(204);
    ana.removes(&lunch, &ben).await.reached();
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202, "nobody is told");
    assert!(invitations(&ben).await.is_empty());
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_ends_when_the_user_comes_and_goes_without_it() {
    let world = careful_world().await;
    let (ana, ben, cid) = (world.person("ana").await, world.person("ben").await, world.person("cid").await);
    for other in [&ana, &ben] {
        assert_eq!(cid.starts_direct(other).await.status, 202);
        let id = invitations(other).await[0]["conversation_id"].as_str().expect("an id").to_owned();
        accepts(other, &id).await;
    }
    eventually("ana and cid know one another in the views", || async {
        let lunch = ana
            .post("/v1/conversations", json!({ "kind": "group", "title": "x", "members": [cid.id] }))
            .await;
        lunch.status == 201
    })
    .await;
    let lunch = ana.starts_group("Lunch", &[&cid]).await;
    let role = format!("/v1/conversations/{}/members/{}", lunch.id, cid.id);
    ana.patch(&role, json!({ "role": "admin" })).await.expect(200);
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    world.database.does("create table kept as select * from auth.invitation").await;
    eventually("cid, who knows ben, adds him", || async { cid.invites(&lunch, &ben).await.status == 201 })
        .await;
    assert!(invitations(&ben).await.is_empty());
    // From the removal on, Ana and Ben are strangers again.
    ana.removes(&lunch, &ben).await.reached();

    let path = format!("/v1/me/invitations/{}/accept", lunch.id);
    let accepted = async || ben.send(Method::POST, &path, None).await;
    accepted().await.refuses(404, "not_found");
    // A node that died before it could delete the invitation, or a request that had read it before.
    world.database.does("insert into auth.invitation select * from kept where not is_direct").await;
    assert_eq!(invitations(&ben).await.len(), 1);
    accepted().await.refuses(404, "not_found");
    assert!(invitations(&ben).await.is_empty());
    assert_eq!(reads(&ben, &lunch.id).await, 404);

    // A new invitation counts, but not the consent to an earlier one.
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    accepts(&ben, &lunch.id).await;
    ana.removes(&lunch, &ben).await.reached();
    world.database.does("insert into auth.invitation select * from kept where not is_direct").await;
    world.database.does("update auth.invitation set accepted = true").await;
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    // It has taken the place of the one that was not deleted.
    accepts(&ben, &lunch.id).await;

    // A node that has followed the removal sooner has made a new invitation before this node deletes the old one.
    world
        .database
        .does(
            "insert into auth.invitation select * from kept where not is_direct;
             update auth.invitation set roster_position = 1000000 where not is_direct",
        )
        .await;
    ana.removes(&lunch, &ben).await.reached();
    assert_eq!(invitations(&ben).await.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_user_who_has_just_left_is_a_stranger_while_the_views_do_not_know_it_yet() {
    let mut world = World::empty(1).await;
    world.add_node("projector").await;
    world.add_node_with("api,gateway", &[CONSENT]).await;
    let (ana, ben) = (world.person_at(1, "ana").await, world.person_at(1, "ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);
    let joined = accepts(&ben, &lunch.id).await;
    ben.get(&format!("/v1/conversations/{}?min_position={joined}", lunch.id)).await.expect(200);
    let tea = ana.starts_group("Tea", &[&ben]).await;
    ben.get(&format!("/v1/conversations/{}?min_position={}", tea.id, tea.position)).await.expect(200);
    world.nodes[0].kill9().await;

    // They still share one of the two.
    ben.removes(&lunch, &ben).await.reached();
    let party = ana.starts_group("Party", &[&ben]).await;
    for group in [&tea, &party] {
        ben.removes(group, &ben).await.reached();
    }
    let again = json!({ "kind": "group", "title": "Again", "members": [ben.id] });
    ana.post("/v1/conversations", again).await.refuses(403, "consent_required");
    assert_eq!(ana.invites(&lunch, &ben).await.status, 202);

    world.nodes.remove(0);
    world.add_node("projector").await;
    world.finish().await;
}

#[tokio::test]
async fn invitations_are_bounded() {
    let world = careful_world().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let fill = format!(
        "insert into auth.invitation (invited_id, conversation_id, by_id, is_direct, created_at, expires_at)
         select '{}', gen_random_uuid(), '{}', false, now(), now() + interval '1 day' from generate_series(1, 100)",
        ben.id, ana.id
    );
    world.database.does(&fill).await;
    ana.starts_direct(&ben).await.refuses(409, "too_many_invitations");
    world.finish().await;
}

#[tokio::test]
async fn by_default_nobody_is_asked() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.invites(&lunch, &ben).await.expect(201);
    ben.says(&lunch, "Here I am").await;
    assert!(invitations(&ben).await.is_empty());
    world.finish().await;
}
