//! What people settle for themselves alone.

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

    // It stays where it is, whatever happens in it, and moves to the front there.
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
