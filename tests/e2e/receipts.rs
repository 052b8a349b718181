//! Receipts.

use serde_json::json;

use crate::world::{Device, World};

#[tokio::test]
async fn the_sender_sees_who_has_read() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let (mut of_ana, mut of_ben) = (ana.connects().await, ben.connects().await);
    let sent = of_ana.says(&lunch, "pizza?").await["position"].as_u64().expect("position");
    of_ben.sees("pizza?").await;
    of_ben.tells(json!({ "op": "read", "id": "r1", "conversation_id": lunch.id, "position": sent })).await;
    of_ben.waits_for("ack", |frame| frame["op"] == "ack" && frame["id"] == "r1").await;
    let receipt = of_ana.gets_event("receipt.advanced").await;
    assert_eq!((receipt["actor"].as_str(), receipt["data"]["read"].as_u64()), (Some(&*ben.id), Some(sent)));

    let position = receipt["position"].as_u64().expect("position");
    let path = format!("/v1/conversations/{}/receipts?min_position={position}", lunch.id);
    let page = ana.get(&path).await.expect(200);
    let of = |person: &str| {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|r| r["user_id"] == person)
            .expect("a receipt")
            .clone()
    };
    assert_eq!((of(&ben.id)["read"].as_u64(), of(&ben.id)["delivered"].as_u64()), (Some(sent), Some(sent)));
    assert!(of(&ben.id)["read_at"].is_string());
    assert_eq!(of(&ana.id)["read"], 0);
    let mine = ben.get(&format!("/v1/conversations/{}", lunch.id)).await.expect(200);
    assert_eq!((mine["unread"].as_u64(), mine["read"].as_u64()), (Some(0), Some(sent)));

    ben.reads(&lunch, sent - 1).await.expect(204);
    ben.reads(&lunch, sent + 1_000_000).await.refuses(400, "ahead_of_head");
    of_ben
        .tells(json!({ "op": "read", "id": "r2", "conversation_id": lunch.id, "position": sent + 1_000_000 }))
        .await;
    assert_eq!(of_ben.gets("error").await["code"], "ahead_of_head");
    world.finish().await;
}

#[tokio::test]
async fn a_receipt_of_somebody_who_has_been_removed_meanwhile_swallows_no_later_one() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ana.connects().await;
    let first = ana.says(&lunch, "one").await["position"].as_u64().expect("position");
    let second = ana.says(&lunch, "two").await["position"].as_u64().expect("position");
    ben.reads(&lunch, first).await.expect(204);
    // The second receipt within a second waits, and meanwhile Ben is removed.
    let (late, removed) = tokio::join!(ben.reads(&lunch, second), ana.removes(&lunch, &ben));
    removed.expect(204);
    assert!(late.status == 404 || late.status == 204, "{}", late.body);
    ana.invites(&lunch, &ben).await.expect(201);
    ben.reads(&lunch, second).await.expect(204);
    device
        .waits_for("the receipt", |frame| {
            frame["type"] == "receipt.advanced" && frame["data"]["read"].as_u64() == Some(second)
        })
        .await;
    world.finish().await;
}

#[tokio::test]
async fn many_receipts_in_a_second_are_two_events_at_most_and_none_goes_back() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ana = ana.connects().await;
    let mut positions = Vec::new();
    for n in 0..20 {
        positions.push(ana.says(&lunch, &format!("{n}")).await["position"].as_u64().expect("position"));
    }
    let began = std::time::Instant::now();
    let reads = positions.iter().map(|position| ben.reads(&lunch, *position));
    for answer in futures_util::future::join_all(reads).await {
        answer.expect(204);
    }
    // At most two in the first second, and one in each further second that a slow machine needs.
    let most = 2 + began.elapsed().as_secs() as usize;
    ana.says(&lunch, "the end").await;
    of_ana.sees("the end").await;
    let told = |device: &Device| -> Vec<u64> {
        let receipts = device.seen.iter().filter(|frame| frame["type"] == "receipt.advanced");
        receipts.map(|frame| frame["data"]["read"].as_u64().expect("position")).collect()
    };
    let receipts = told(&of_ana);
    assert!((1..=most).contains(&receipts.len()), "{receipts:?} of {most}");
    assert!(receipts.is_sorted(), "{receipts:?}");
    assert_eq!(receipts.last(), positions.last());

    // A node that keeps no roster does not hear the second receipt.
    world.add_node_with("api", &[("VERBATIM_CONVERSATIONS", "0")]).await;
    let there = ben.at(world.nodes[1].address);
    let mut said = Vec::new();
    for text in ["one", "two", "three"] {
        said.push(ana.says(&lunch, text).await["position"].as_u64().expect("position"));
    }
    there.reads(&lunch, said[0]).await.expect(204);
    ben.reads(&lunch, said[2]).await.expect(204);
    there.reads(&lunch, said[1]).await.expect(204);
    ana.says(&lunch, "the very end").await;
    of_ana.sees("the very end").await;
    assert_eq!(told(&of_ana)[receipts.len()..], [said[0], said[2]]);
    world.finish().await;
}
