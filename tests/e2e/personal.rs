//! Private settings of people.

use serde_json::{Value, json};

use crate::world::{Conversation, Person, World};

async fn listed(person: &Person, query: &str) -> Vec<String> {
    let page = person.get(&format!("/v1/conversations{query}")).await.expect(200);
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("id").to_owned()).collect()
}

async fn settles(person: &Person, of: &Conversation, changes: Value) -> Value {
    person.patch(&format!("/v1/conversations/{}/settings", of.id), changes).await.expect(200)
}

#[tokio::test]
async fn the_list_moves_when_somebody_speaks_or_brings_me_in_and_for_nothing_else() {
    let world = World::start().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let (old, new) = (ana.starts_group("Old", &[&ben]).await, ana.starts_group("New", &[&ben, &cleo]).await);
    let first = ben.says(&old, "first").await["id"].as_str().expect("id").to_owned();
    let gone = ana.says(&old, "gone").await["id"].as_str().expect("id").to_owned();
    let last = ana.says(&new, "later").await["position"].as_u64().expect("position");
    ana.history(&new, last).await;
    let (path, both) = (format!("/v1/conversations/{}", old.id), [&*new.id, &*old.id]);
    assert_eq!(listed(&ana, "").await, both);
    let active = ana.get(&path).await.expect(200)["active_at"].clone();

    let message = format!("{path}/messages/{first}");
    ben.patch(&message, json!({ "text": "edited" })).await.expect(200);
    ana.put(&format!("{message}/reactions/👍"), json!({})).await.reached();
    ana.delete(&format!("{message}/reactions/👍")).await.reached();
    ana.put(&format!("{message}/pin"), json!({})).await.reached();
    ana.delete(&format!("{path}/messages/{gone}")).await.reached();
    ana.patch(&path, json!({ "title": "Older" })).await.expect(200);
    let brought = ana.invites(&old, &cleo).await.expect(201)["position"].as_u64().expect("position");
    let now = ana.get(&format!("{path}?min_position={brought}")).await.expect(200);
    assert_eq!((&now["title"], &now["active_at"]), (&json!("Older"), &active));
    assert_eq!(listed(&ana, "").await, both);
    assert_eq!(listed(&cleo, "").await, [&*old.id, &*new.id], "who is brought in finds it in front");
    let page = cleo.get("/v1/conversations?limit=1").await.expect(200);
    let cursor = page["next_cursor"].as_str().expect("there is more");
    assert_eq!(listed(&cleo, &format!("?limit=1&cursor={cursor}")).await, [&*new.id]);

    let said = ben.says(&old, "again").await["position"].as_u64().expect("position");
    ana.history(&old, said).await;
    assert_eq!(listed(&ana, "").await, [&*old.id, &*new.id]);
    world.finish().await;
}

#[tokio::test]
async fn a_direct_conversation_that_is_started_again_comes_out_of_my_archive() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    ana.get(&format!("/v1/conversations/{}?min_position={}", talk.id, talk.position)).await.expect(200);
    for person in [&ana, &ben] {
        settles(person, &talk, json!({ "archived": true, "muted": true })).await;
    }
    let again = ana.starts_direct(&ben).await.expect(200);
    assert_eq!((&again["archived"], &again["muted"]), (&json!(false), &json!(true)), "{again}");
    assert_eq!(listed(&ana, "").await, [&*talk.id]);
    assert!(listed(&ana, "?archived=true").await.is_empty());
    assert_eq!(listed(&ben, "?archived=true").await, [&*talk.id], "it is hers alone");
    world.finish().await;
}

#[tokio::test]
async fn a_conversation_is_muted_and_archived_for_one_alone() {
    let mut world = World::start().await;
    world.add_node("api,gateway").await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let (work, lunch, notes) = (
        ana.starts_group("Work", &[&ben]).await,
        ana.starts_group("Lunch", &[&ben]).await,
        ana.starts_group("Notes", &[&ben]).await,
    );
    let mut of_ben = ben.connects().await;
    ana.get(&format!("/v1/conversations/{}?min_position={}", notes.id, notes.position)).await.expect(200);

    let as_it_is = json!({ "muted": false, "archived": false });
    let path = format!("/v1/conversations/{}/settings", lunch.id);
    assert_eq!(ana.get(&path).await.expect(200), as_it_is);
    assert_eq!(settles(&ana, &lunch, json!({})).await, as_it_is);
    assert_eq!(
        settles(&ana, &lunch, json!({ "muted": true, "archived": true })).await,
        json!({ "muted": true, "archived": true })
    );
    settles(&ana, &work, json!({ "archived": true })).await;
    let until = "2126-11-24T13:10:00.000Z";
    assert_eq!(settles(&ana, &notes, json!({ "muted_until": until })).await["muted_until"], until);

    let elsewhere = ana.at(world.nodes[1].address);
    assert_eq!(listed(&elsewhere, "").await, [&*notes.id]);
    assert_eq!(listed(&elsewhere, "?archived=false").await, [&*notes.id]);
    assert_eq!(listed(&elsewhere, "?archived=true").await, [&*lunch.id, &*work.id]);
    let first = elsewhere.get("/v1/conversations?archived=true&limit=1").await.expect(200);
    let item = &first["items"][0];
    assert_eq!(
        (&item["id"], &item["muted"], &item["archived"]),
        (&json!(lunch.id), &json!(true), &json!(true))
    );
    let cursor = first["next_cursor"].as_str().expect("there is more");
    assert_eq!(listed(&elsewhere, &format!("?archived=true&limit=1&cursor={cursor}")).await, [&*work.id]);
    let one = elsewhere.get(&format!("/v1/conversations/{}", notes.id)).await.expect(200);
    assert_eq!(
        (&one["muted"], &one["muted_until"], &one["archived"]),
        (&json!(true), &json!(until), &json!(false))
    );

    // It stays archived whatever happens in it, and moves to the front of the archived conversations.
    let said = ben.says(&work, "hello").await["position"].as_u64().expect("position");
    ana.get(&format!("/v1/conversations/{}?min_position={said}", work.id)).await.expect(200);
    assert_eq!(listed(&ana, "?archived=true").await, [&*work.id, &*lunch.id]);

    assert_eq!(listed(&ben, "").await.len(), 3, "it is hers alone");
    assert_eq!(ben.get(&path).await.expect(200), as_it_is);
    of_ben.sees("hello").await;
    of_ben.catches_up().await;
    let events = of_ben.seen.iter().filter(|frame| frame["op"] == "event").count();
    assert_eq!(events, 1, "settling is no event: {:#?}", of_ben.seen);

    assert_eq!(
        settles(&ana, &lunch, json!({ "archived": false })).await["muted"],
        true,
        "what is absent stays"
    );
    assert_eq!(settles(&ana, &lunch, json!({ "muted": false })).await, as_it_is);
    assert_eq!(listed(&ana, "").await, [&*notes.id, &*lunch.id]);
    for (body, pointer) in [
        (json!({ "muted_until": "2006-11-24T13:10:00Z" }), "/muted_until"),
        (json!({ "muted": false, "muted_until": until }), "/muted_until"),
        (json!({ "pinned": true }), "/pinned"),
    ] {
        let problem = ana.patch(&path, body).await.expect(400);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    eve.get(&path).await.refuses(404, "not_found");
    eve.patch(&path, json!({ "muted": true })).await.refuses(404, "not_found");
    world.finish().await;
}
