//! What the receipt of an erasure says about webhooks: which receivers have taken `content.erased`.

use std::sync::OnceLock;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    erasing::{asks, is_done, receipt, says_the_marker, starts_eraser},
    webhooks::{ALL, adds, path, with_nodes},
    world::{Program, Receiver, Told, eventually},
};

/// Fifteen seconds of retries. That is shorter than an erasure.
const RETRIES: usize = 30;
const PAUSE: &str = "500ms";

/// Whether a webhook has delivered the erasure; `None` if the receipt does not list the webhook.
fn delivered(receipt: &Value, webhook: &Value) -> Option<bool> {
    let mut listed = receipt["webhooks"].as_array().expect("webhooks").iter();
    listed.find(|one| one["id"] == webhook["id"]).map(|one| one["delivered"].as_bool().expect("a truth"))
}

#[tokio::test]
async fn a_receipt_says_which_webhooks_have_taken_the_erasure() {
    let retries = [PAUSE; RETRIES].join(",");
    let world = with_nodes(&[ALL], &[("VERBATIM_WEBHOOK_RETRIES", &retries)]).await;
    let operator = Program::bootstraps(&world).await;
    let program = operator.makes("forgets", &["admin:erasure"]).await;
    let ana = world.person("ana").await;
    let (lunch, dinner) = (ana.starts_group("Lunch", &[]).await, ana.starts_group("Dinner", &[]).await);
    let position = says_the_marker(&ana, &lunch, 1).await;

    let takes = Receiver::start().await;
    let refuses = Receiver::answering(|_| Told::status(500)).await;
    let mut away = Receiver::start().await;
    away.leaves().await;
    let erasures = |more: Value| {
        let mut settings = json!({ "types": ["message.edited", "content.erased"] });
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        settings
    };
    let taking = adds(&operator, &takes.url("/"), erasures(json!({}))).await;
    let refusing = adds(&operator, &refuses.url("/"), erasures(json!({}))).await;
    let leaving = adds(&operator, &away.url("/"), erasures(json!({ "order": "none" }))).await;
    let disabled = adds(&operator, &takes.url("/disabled"), erasures(json!({}))).await;
    let removed = adds(&operator, &takes.url("/removed"), erasures(json!({}))).await;
    // These are never sent the event. The first of them gets the messages all the same.
    let untold = [
        json!({ "types": ["message.sent"] }),
        erasures(json!({ "lanes": ["timeline"] })),
        erasures(json!({ "services": [operator.person.id] })),
    ];
    let mut never = Vec::new();
    for settings in untold {
        never.push(adds(&operator, &takes.url("/never"), settings).await);
    }
    let elsewhere =
        adds(&operator, &takes.url("/never"), erasures(json!({ "conversations": [dinner.id] }))).await;
    let acts = async |webhook: &Value, act: &str| {
        let path = format!("{}/{act}", path(webhook));
        operator.person.send(Method::POST, &path, None).await.expect(200);
    };
    acts(&disabled, "disable").await;

    let mut eraser = starts_eraser(&world);
    let id = asks(&program, &[(&lunch, position)]).await;
    let says = async |webhook: &Value| delivered(&receipt(&program, &id).await, webhook);
    eventually("a receiver has taken it", async || says(&taking).await == Some(true)).await;
    let event = takes.taken().into_iter().find(|taken| taken.path == "/").expect("a request").event();
    assert_eq!(event["type"], "verbatim.content.erased.v1");
    eventually("it is removed", async || says(&removed).await == Some(true)).await;
    operator.person.delete(&path(&removed)).await.expect(204);
    assert_eq!(says(&removed).await, None);
    eventually("another one has refused it", async || !refuses.received().is_empty()).await;
    for webhook in [&refusing, &leaving, &disabled].into_iter().chain(&never) {
        assert_eq!(says(webhook).await, Some(false), "{webhook}");
    }
    assert_eq!(says(&elsewhere).await, None, "it gets nothing of this conversation");
    away.returns().await;
    eventually("it has come back", async || says(&leaving).await == Some(true)).await;
    assert_eq!(away.taken().len(), 1);

    // The erasure does not wait for receivers. What was given up after all retries was not taken.
    let has_parked =
        async |webhook: &Value| operator.person.get(&path(webhook)).await.expect(200)["parked"] == 1;
    eventually("the event is parked", async || has_parked(&refusing).await).await;
    let done = is_done(&program, &id).await;
    for webhook in [&refusing, &disabled].into_iter().chain(&never) {
        assert_eq!(delivered(&done, webhook), Some(false), "{webhook}");
    }
    let shown = world.runs(&["erasures", "show", &id]).await;
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["webhooks"], done["webhooks"], "the servers say the same as a node");

    let again = json!({ "parked": true });
    operator.person.post(&format!("{}/replay", path(&refusing)), again).await.expect(200);
    assert_eq!(says(&refusing).await, Some(false), "it still refuses");
    refuses.answers(|_| Told::status(204));
    acts(&disabled, "enable").await;
    for webhook in [&refusing, &disabled] {
        eventually("it has taken it", async || says(webhook).await == Some(true)).await;
    }
    assert!(takes.taken().iter().any(|taken| taken.path == "/disabled") && refuses.taken().len() == 1);

    // The first event of a conversation is listed in an event of its own. A receiver has to take both.
    let position = says_the_marker(&ana, &dinner, 1).await;
    let first: OnceLock<Value> = OnceLock::new();
    let picky = Receiver::answering(move |received| {
        let id = received.event()["id"].clone();
        Told::status(if *first.get_or_init(|| id.clone()) == id { 500 } else { 204 })
    })
    .await;
    let half = adds(
        &operator,
        &picky.url("/"),
        erasures(json!({ "conversations": [dinner.id], "types": ["content.erased"] })),
    )
    .await;
    let id = asks(&program, &[(&dinner, dinner.position), (&dinner, position)]).await;
    let says = async |webhook: &Value| delivered(&receipt(&program, &id).await, webhook);
    let has_taken_one = async || has_parked(&half).await && picky.taken().len() == 1;
    eventually("it has taken only the second event", has_taken_one).await;
    assert_eq!(says(&half).await, Some(false));
    picky.answers(|_| Told::status(204));
    operator.person.post(&format!("{}/replay", path(&half)), json!({ "parked": true })).await.expect(200);
    eventually("it has taken both", async || says(&half).await == Some(true)).await;
    eraser.kill().await.expect("it runs");
    world.finish().await;
}
