//! Every command tells the position that it has reached.

use reqwest::Method;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_command_that_answers_without_a_body_tells_its_position_too() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut device = ana.connects().await;
    let said = ana.says(&lunch, "pizza?").await;
    let base = format!("/v1/conversations/{}", lunch.id);
    let message = format!("{base}/messages/{}", said["id"].as_str().expect("id"));
    let thumb = format!("{message}/reactions/%F0%9F%91%8D");
    let read = json!({ "read": said["position"] });
    let commands = [
        (Method::PUT, thumb.clone(), None, "reaction.added"),
        (Method::DELETE, thumb, None, "reaction.removed"),
        (Method::PUT, format!("{message}/pin"), None, "message.pinned"),
        (Method::DELETE, format!("{message}/pin"), None, "message.unpinned"),
        (Method::PUT, format!("{base}/receipt"), Some(read), "receipt.advanced"),
        (Method::DELETE, message, None, "message.deleted"),
        (Method::DELETE, format!("{base}/members/{}", ben.id), None, "member.removed"),
    ];
    for (method, path, body, event) in commands {
        let reached = ana.send(method.clone(), &path, body.clone()).await.reached();
        assert_eq!(device.gets_event(event).await["position"], reached, "{method} {path}");
        ana.get(&format!("{base}?min_position={reached}")).await.expect(200);
        let again = ana.send(method, &path, body).await.reached();
        assert!((1..=reached).contains(&again), "so already, by {again}: {path}");
    }

    let said = ana.says(&lunch, "alone").await["position"].as_u64().expect("position");
    device.tells(json!({ "op": "read", "id": "r", "conversation_id": lunch.id, "position": said })).await;
    let ack = device.waits_for("ack", |frame| frame["op"] == "ack" && frame["id"] == "r").await;
    let receipt = match device.seen.iter().rfind(|frame| frame["type"] == "receipt.advanced") {
        Some(frame) if frame["data"]["read"] == said => frame.clone(),
        _ => device.gets_event("receipt.advanced").await,
    };
    assert_eq!(ack["position"], receipt["position"]);
    world.finish().await;
}
