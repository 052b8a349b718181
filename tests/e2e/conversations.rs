//! People start conversations and find them again.

use reqwest::Method;
use serde_json::json;

use crate::world::{Conversation, Person, World, ask, eventually, key};

#[tokio::test]
async fn two_people_talk_and_an_outsider_learns_nothing() {
    let world = World::start().await;
    let (ana, ben, eve) = (world.person("ana").await, world.person("ben").await, world.person("eve").await);
    let (mut first, mut second, mut outside) =
        (ana.connects().await, ben.connects().await, eve.connects().await);

    let talk = Conversation::from(ana.starts_direct(&ben).await.expect(201));
    first.says(&talk, "one").await;
    let one = second.sees("one").await;
    assert_eq!((one["actor"].as_str(), one["conversation_id"].as_str()), (Some(&*ana.id), Some(&*talk.id)));
    second.says(&talk, "two").await;
    first.sees("two").await;

    let base = format!("/v1/conversations/{}", talk.id);
    for path in ["", "/messages", "/members", "/receipts", "/presence"] {
        let path = format!("{base}{path}");
        ask(ana.address, Method::GET, &path, None).await.refuses(401, "missing_token");
        let foreign = eve.get(&path).await.refuses(404, "not_found");
        let missing = eve.get(&path.replace(&talk.id, &ana.id)).await.refuses(404, "not_found");
        assert_eq!(foreign["detail"], missing["detail"], "nobody can tell which it is");
    }
    eve.sends(&talk, &key(), "let me in").await.refuses(404, "not_found");
    eve.invites(&talk, &eve).await.refuses(404, "not_found");
    eve.reads(&talk, 1).await.refuses(404, "not_found");

    outside.catches_up().await;
    let told = outside
        .seen
        .iter()
        .filter(|frame| !["ready", "pong", "heartbeat"].contains(&frame["op"].as_str().expect("op")));
    assert_eq!(told.count(), 0, "{:#?}", outside.seen);
    world.finish().await;
}

#[tokio::test]
async fn a_direct_conversation_is_one_for_each_pair_also_when_both_start_at_once() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let starts =
        (0..10).map(|n| if n % 2 == 0 { (ana.clone(), ben.clone()) } else { (ben.clone(), ana.clone()) });
    let starts = starts.map(|(one, other)| async move { one.starts_direct(&other).await });
    let answers = futures_util::future::join_all(starts).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 200));

    ana.starts_direct(&ana).await.refuses(400, "with_oneself");
    let nobody = json!({ "kind": "direct", "user_id": answers[0].body["id"] });
    let problem = ana.post("/v1/conversations", nobody).await.expect(400);
    assert_eq!(problem["errors"][0]["pointer"], "/user_id", "{problem}");
    world.finish().await;
}

#[tokio::test]
async fn every_socket_of_a_group_of_three_sees_the_same_chain() {
    for streams in [1, 4] {
        let world = World::with_streams(streams).await;
        let (ana, ben, cleo) =
            (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
        let lunch = ana.starts_group("Lunch", &[&ben, &cleo]).await;
        let mut devices =
            [ana.connects().await, ana.connects().await, ben.connects().await, cleo.connects().await];
        for device in &devices {
            let head = &device.ready["conversations"][0];
            assert_eq!(
                (head["id"].as_str(), head["head"].as_u64()),
                (Some(&*lunch.id), Some(lunch.position))
            );
        }
        for (n, person) in [&ana, &ben, &cleo].into_iter().cycle().take(30).enumerate() {
            person.says(&lunch, &format!("message {n}")).await;
        }
        for device in &mut devices {
            device.sees("message 29").await;
        }
        let chain = devices[0].chain(&lunch);
        assert_eq!(chain[0].1, lunch.position, "the chain begins behind the head that ready gave");
        crate::world::assert_linked(&chain);
        assert_eq!(chain.len(), 30);
        assert!(devices.iter().all(|device| device.chain(&lunch) == chain));
        assert_eq!(ana.history(&lunch, chain[29].0).await.len(), 30);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_group_is_started_once_for_a_key_whatever_the_order_of_its_members() {
    let world = World::start().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let keyed = ana.with_key("the-first-group");
    let lunch = keyed.starts_group("Lunch", &[&ben, &cleo]).await;
    for members in [[&cleo, &ben], [&ben, &cleo]] {
        assert_eq!(keyed.starts_group("Lunch", &members).await.id, lunch.id);
    }
    let others = json!({ "kind": "group", "title": "Lunch", "members": [ben.id] });
    keyed.post("/v1/conversations", others).await.refuses(409, "idempotency_mismatch");
    world.finish().await;
}

#[tokio::test]
async fn the_list_shows_what_a_client_draws() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let talk = Conversation::from(ben.starts_direct(&ana).await.expect(201));
    ana.says(&lunch, "pizza?").await;
    let last = ana.says(&lunch, "or pasta?").await;
    let position = last["position"].as_u64().expect("position");
    ben.get(&format!("/v1/conversations/{}?min_position={position}", lunch.id)).await.expect(200);

    // Reading does not reorder the list.
    let read = ben.reads(&talk, talk.position).await.reached();
    ben.get(&format!("/v1/conversations/{}?min_position={read}", talk.id)).await.expect(200);

    let page = ben.get("/v1/conversations?limit=1").await.expect(200);
    let newest = &page["items"][0];
    assert_eq!((newest["title"].as_str(), newest["unread"].as_u64()), (Some("Lunch"), Some(2)), "{newest}");
    assert_eq!(newest["last_message"]["text"], "or pasta?");
    assert_eq!((newest["role"].as_str(), newest["head"].as_u64()), (Some("member"), Some(position)));
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = ben.get(&format!("/v1/conversations?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!(rest["items"][0]["id"], talk.id.as_str());
    assert_eq!(rest["items"][0]["user_id"], ana.id.as_str());
    let end = match rest["next_cursor"].as_str() {
        Some(cursor) => ben.get(&format!("/v1/conversations?limit=1&cursor={cursor}")).await.expect(200),
        None => rest.clone(),
    };
    assert!(end["next_cursor"].is_null());

    // Deleted messages before the latest 10,000 take nothing from the count.
    let many = format!(
        "insert into view.message (conversation_id, position, id, sender, client_id, text, sent_at, deleted_at)
         select '{}', 1000000 + n, gen_random_uuid(), '{}', n, '', now(), case when n <= 10000 then now() end
         from generate_series(1, 20000) n",
        lunch.id, ana.id
    );
    world.database.does(&many).await;
    let behind = ben.get(&format!("/v1/conversations/{}", lunch.id)).await.expect(200);
    assert_eq!(behind["unread"], 1_000);
    world.database.does("delete from view.message where position > 1000000").await;
    world.finish().await;
}

#[tokio::test]
async fn a_group_started_twice_with_one_key_is_one_group() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let starts = |title: &'static str| {
        let (ana, ben) = (ana.clone(), ben.clone());
        async move {
            reqwest::Client::new()
                .post(format!("http://{}/v1/conversations", ana.address))
                .bearer_auth(&ana.token)
                .header("Idempotency-Key", "start-lunch-1")
                .json(&json!({ "kind": "group", "title": title, "members": [ben.id] }))
                .send()
                .await
                .expect("an answer")
        }
    };
    let (one, other) = tokio::join!(starts("Lunch"), starts("Lunch"));
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (201, 201));
    let (one, other): (serde_json::Value, serde_json::Value) =
        (one.json().await.expect("JSON"), other.json().await.expect("JSON"));
    assert_eq!(one, other);
    assert_eq!(starts("Dinner").await.status().as_u16(), 409);
    world.finish().await;
}

#[tokio::test]
async fn others_bring_somebody_into_so_many_conversations_and_no_more() {
    let mut world = World::empty(1).await;
    world.add_node_with("api,gateway,projector", &[("VERBATIM_CONVERSATIONS_PER_USER", "3")]).await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let keyed = ana.with_key("the-first-group");
    let mut last = keyed.starts_group("One", &[&ben]).await;
    let first = last.clone();
    last = ana.starts_group("Two", &[&ben]).await;
    let direct = cleo.starts_direct(&ben).await.expect(201);
    let known = |who: &Person, of: &Conversation| {
        let (who, path) = (who.clone(), format!("/v1/conversations/{}?min_position={}", of.id, of.position));
        async move { who.get(&path).await.expect(200) }
    };
    known(&ben, &Conversation::from(direct.clone())).await;

    let group = json!({ "kind": "group", "title": "Three", "members": [ben.id] });
    ana.post("/v1/conversations", group.clone()).await.refuses(409, "too_many_conversations");
    ana.starts_direct(&ben).await.refuses(409, "too_many_conversations");
    let tea = cleo.starts_group("Tea", &[]).await;
    cleo.invites(&tea, &ben).await.refuses(409, "too_many_conversations");
    assert_eq!(keyed.starts_group("One", &[&ben]).await.id, first.id, "a retry gets the first answer");
    assert_eq!(cleo.starts_direct(&ben).await.expect(200)["id"], direct["id"]);
    cleo.invites(&tea, &ana).await.expect(201);

    // Conversations that ben starts himself are allowed, up to twice the bound.
    for n in 4..=6 {
        let own = ben.starts_group(&format!("Own {n}"), &[]).await;
        known(&ben, &own).await;
    }
    let own = json!({ "kind": "group", "title": "Own 7" });
    ben.post("/v1/conversations", own).await.refuses(409, "too_many_conversations");
    for left in [&first, &last] {
        ben.removes(left, &ben).await.expect(204);
    }
    eventually("there is a place again", || async {
        ben.post("/v1/conversations", json!({ "kind": "group", "title": "Own 7" })).await.status == 201
    })
    .await;
    world.finish().await;
}
