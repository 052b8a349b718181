//! People write, retry and read back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{PATIENCE, World, assert_linked, eventually, key};

#[tokio::test]
async fn a_message_retried_twenty_times_in_parallel_is_stored_once() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ben.connects().await;
    let tries = (0..20).map(|_| ana.sends(&lunch, "pizza-or-pasta", "pizza?"));
    let answers: Vec<Value> =
        futures_util::future::join_all(tries).await.into_iter().map(|answer| answer.expect(201)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    ana.sends(&lunch, "pizza-or-pasta", "pasta?").await.refuses(409, "idempotency_mismatch");

    ana.says(&lunch, "the end").await;
    device.sees("the end").await;
    assert_eq!(device.chain(&lunch).len(), 2);
    assert_linked(&device.chain(&lunch));
    let position = device.chain(&lunch)[1].0;
    assert_eq!(ben.history(&lunch, position).await, ["pizza?", "the end"]);
    world.finish().await;
}

#[tokio::test]
async fn a_key_is_one_persons_in_one_conversation() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, work) = (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Work", &[&ben]).await);
    let mut ids = std::collections::HashSet::new();
    for (person, conversation) in [(&ana, &lunch), (&ben, &lunch), (&ana, &work), (&ben, &work)] {
        let message = person.sends(conversation, "the-same-key", "hello").await.expect(201);
        assert!(ids.insert(message["id"].as_str().expect("id").to_owned()));
    }
    world.finish().await;
}

#[tokio::test]
async fn history_comes_by_page_in_both_directions() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut positions = Vec::new();
    for n in 0..25 {
        positions.push(ana.says(&notes, &format!("note {n}")).await["position"].as_u64().expect("position"));
    }
    let base = format!("/v1/conversations/{}/messages", notes.id);
    let head = positions[24];
    let texts = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["text"].as_str().expect("text").to_owned()).collect()
    };
    let newest = ana.get(&format!("{base}?limit=10&min_position={head}")).await.expect(200);
    assert_eq!(texts(&newest)[..2], ["note 24", "note 23"]);
    let cursor = newest["next_cursor"].as_str().expect("there is more");
    let older = ana.get(&format!("{base}?limit=10&cursor={cursor}")).await.expect(200);
    assert_eq!(texts(&older)[0], "note 14");
    let before = ana.get(&format!("{base}?limit=10&before={}", positions[15])).await.expect(200);
    assert_eq!(texts(&before), texts(&older));
    let after = ana.get(&format!("{base}?limit=3&after={}", positions[20])).await.expect(200);
    assert_eq!(texts(&after), ["note 21", "note 22", "note 23"]);
    // A page around a position is full, if there are enough messages on one of the sides.
    for (at, [newest, oldest], continues) in [
        (positions[12], [14, 11], true),
        (positions[0] - 1, [3, 0], false),
        (positions[1], [3, 0], false),
        (positions[2], [4, 1], true),
        (head, [24, 21], true),
        (head + 5, [24, 21], true),
    ] {
        for as_of in [String::new(), format!("&as_of={head}")] {
            let page = ana.get(&format!("{base}?limit=4&around={at}{as_of}")).await.expect(200);
            let notes: Vec<_> = (oldest..=newest).rev().map(|n| format!("note {n}")).collect();
            assert_eq!((texts(&page), page["next_cursor"].is_string()), (notes, continues), "{at}{as_of}");
        }
    }
    let beyond = ana.get(&format!("{base}?after={head}")).await.expect(200);
    assert_eq!(texts(&beyond), Vec::<String>::new());
    for wrong in ["before=1&after=2", "before=-1", "limit=0", "limit=201", "offset=3", "limit=1&limit=2"] {
        ana.get(&format!("{base}?{wrong}")).await.expect(400);
    }
    ana.get(&format!("{base}?min_position={}", head + 1_000_000)).await.refuses(503, "not_yet");
    world.finish().await;
}

#[tokio::test]
async fn many_wait_for_what_is_not_said_yet_and_get_it() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let first = ana.says(&notes, "first").await["position"].as_u64().expect("position");
    let path = format!("/v1/conversations/{}/messages?min_position={}", notes.id, first + 1);
    let read = async || loop {
        let answer = ana.get(&path).await;
        match answer.body["code"].as_str() {
            // On a slow machine, some requests are refused temporarily, and are retried.
            Some("not_yet" | "too_many_at_once") => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => break answer.expect(200),
        }
    };
    let wait = futures_util::future::join_all((0..200).map(|_| read()));
    let (answers, second) = tokio::join!(timeout(PATIENCE, wait), ana.says(&notes, "second"));
    assert_eq!(second["position"], first + 1, "nothing else happens here");
    for answer in answers.expect("in time") {
        assert_eq!(answer["items"][0]["text"], "second");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_typed_comes_back_exactly_or_is_refused() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let mut device = ana.connects().await;
    for text in [
        "<script>alert(1)</script>",
        "'; DROP TABLE message; --",
        "%s%n{{7*7}}",
        "a\nb\tc",
        "👩‍👩‍👧 ünïcödé שלום",
        "=cmd()",
    ] {
        assert_eq!(ana.says(&notes, text).await["text"], text);
        assert_eq!(device.sees(text).await["data"]["text"], text);
    }
    let path = format!("/v1/conversations/{}/messages", notes.id);
    let long = "x".repeat(16 * 1024 + 1);
    for text in [
        json!(""),
        json!(" \n "),
        json!("a\u{0}b"),
        json!("\u{1b}[2J"),
        json!("\u{200d}"),
        json!(long),
        json!(7),
        json!(null),
    ] {
        let problem = ana.post(&path, json!({ "client_id": key(), "text": text })).await.expect(400);
        assert_eq!(problem["errors"][0]["pointer"], "/text", "{problem}");
        device.tells(json!({ "op": "send", "id": "bad", "conversation_id": notes.id, "client_id": key(), "text": text })).await;
        let error = device.gets("error").await;
        assert_eq!(error["id"], "bad", "{error}");
    }
    ana.post(&path, json!({ "text": "no key" })).await.expect(400);
    ana.post(&path, json!({ "client_id": key(), "text": "x", "colour": "red" })).await.expect(400);
    device.says(&notes, "the socket is still fine").await;
    world.finish().await;
}

#[tokio::test]
async fn a_retry_long_after_the_log_has_forgotten_the_key_gets_the_first_answer() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let first = ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201);
    let position = first["position"].as_u64().expect("position");
    assert_eq!(ana.history(&lunch, position).await, ["pizza?"]);
    world.the_log_forgets_keys().await;

    let elsewhere = ana.at(world.nodes[1].address);
    for person in [&ana, &elsewhere] {
        assert_eq!(person.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201), first);
        person.sends(&lunch, "pizza-or-pasta", "pasta?").await.refuses(409, "idempotency_mismatch");
    }
    // Many concurrent retries are looked up together.
    let at_once = (0..40).map(|_| ana.sends(&lunch, "pizza-or-pasta", "pizza?"));
    for answer in futures_util::future::join_all(at_once).await {
        assert_eq!(answer.expect(201), first);
    }
    world
        .database
        .is_gone_for(async {
            assert_eq!(
                ana.sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201),
                first,
                "from the log itself"
            );
        })
        .await;
    world.nodes[1].stop().await;
    world.nodes.pop();
    let restarted = world.add_node("api").await.address;
    assert_eq!(ana.at(restarted).sends(&lunch, "pizza-or-pasta", "pizza?").await.expect(201), first);
    let mut device = ben.connects().await;
    ana.says(&lunch, "the end").await;
    assert_eq!(device.sees("the end").await["previous"], position, "nothing was stored in between");
    world.finish().await;
}

#[tokio::test]
async fn a_key_that_is_greater_than_all_before_costs_no_question_and_every_other_one_is_looked_up() {
    let mut world = World::start().await;
    world.add_node("api").await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let elsewhere = ana.at(world.nodes[1].address);
    let (unused, keys) = (key(), [key(), key(), key()]);
    let mut firsts = Vec::new();
    for (person, key) in [&ana, &elsewhere, &ana].into_iter().zip(&keys) {
        firsts.push(person.sends(&lunch, key, "pizza?").await.expect(201));
    }
    for (person, node) in [(&ana, &world.nodes[0]), (&elsewhere, &world.nodes[1])] {
        eventually("a key is known to be new without a question", || async {
            person.says(&lunch, "more").await;
            node.metrics().await.contains(r#"verbatim_key_look_ups_total{result="grown"}"#)
        })
        .await;
    }
    let greatest = key();
    firsts.push(ana.sends(&lunch, &greatest, "pizza?").await.expect(201));
    let position = firsts[3]["position"].as_u64().expect("position");
    assert_eq!(elsewhere.history(&lunch, position).await.first().map(String::as_str), Some("pizza?"));
    world.the_log_forgets_keys().await;

    for person in [&ana, &elsewhere] {
        for (key, first) in keys.iter().chain([&greatest]).zip(&firsts) {
            assert_eq!(&person.sends(&lunch, key, "pizza?").await.expect(201), first);
        }
    }
    let late = ana.sends(&lunch, &unused, "late").await.expect(201);
    assert!(late["position"].as_u64() > Some(position), "{late}");
    assert_eq!(elsewhere.sends(&lunch, &unused, "late").await.expect(201), late);
    world.finish().await;
}
