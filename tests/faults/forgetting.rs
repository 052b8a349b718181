//! Somebody who erases what people have said while everything fails: an operator's program. Nodes hide, and the eraser in the
//! process of the projector deletes; faults meet all of them.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    chance::Chance,
    clients::Crowd,
    history::{Key, What},
    person::{Answer, Person},
    world::{World, program},
};

const ERASURES: &str = "/v1/admin/erasures";
/// How long erasures may take once no fault is left: a node looks for late edits 12 s after it has hidden a message.
const PATIENCE: Duration = Duration::from_secs(45);

/// A message whose erasure was asked for.
pub struct Request {
    id: String,
    key: Key,
    position: u64,
}

/// The first service account, made on the machine; the servers are well.
pub async fn operator(world: &Arc<World>) -> Person {
    let ran = program()
        .args(["services", "bootstrap"])
        .env("VERBATIM_NATS_URL", &world.nats_urls)
        .env("VERBATIM_DATABASE_URL", &world.database)
        .output()
        .await
        .expect("the program runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let word = |name: &str| {
        let mut words = said.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or_else(|| panic!("no {name}: {ran:?}")).to_owned()
    };
    Person::program(world, word("id").parse().expect("an id"), word("key"))
}

/// Asks for the erasure of one acknowledged message after the other, until a time.
pub async fn forgets(operator: &Person, mut chance: Chance, until: Instant) -> Vec<Request> {
    let mut requests = Vec::new();
    let history = &operator.world.history;
    while Instant::now() < until {
        sleep(chance.millis(300..=900)).await;
        let stored = history.acknowledged();
        let Some((key, position)) = chance.pick(&stored).cloned() else { continue };
        history.note(What::Forget { key: key.clone(), position });
        let place = json!({ "conversation_id": key.conversation, "position": position });
        let body = json!({ "messages": [place], "reason_code": "request" });
        match operator.insists(chance.below(2), Method::POST, ERASURES, Some(body)).await {
            Some(Answer { status: 202, body }) => {
                requests.push(Request { id: body["id"].as_str().expect("an id").to_owned(), key, position });
            }
            Some(other) => history.note(What::Blunder { by: operator.id, what: format!("{other:?}") }),
            // It may be stored or not, and is erased if it is.
            None => {}
        }
    }
    requests
}

/// Waits until the receipts say that all is done, looks at what is left of each message, and lets its sender try once more.
pub async fn is_forgotten(operator: &Person, requests: Vec<Request>, crowd: &Crowd) {
    let deadline = Instant::now() + PATIENCE;
    for Request { id, key, position } in requests {
        let path = format!("{ERASURES}/{id}");
        let state = async || {
            let receipt = operator.insists(0, Method::GET, &path, None).await;
            let state = receipt.and_then(|receipt| receipt.body["state"].as_str().map(str::to_owned));
            state.unwrap_or_else(|| "unknown".to_owned())
        };
        let mut is = state().await;
        while is != "done" && Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
            is = state().await;
        }
        let owner = crowd.owner_of(key.conversation);
        let around = format!("/v1/conversations/{}/messages?around={position}&limit=10", key.conversation);
        let left = owner.insists(0, Method::GET, &around, None).await;
        let items = left.as_ref().and_then(|answer| answer.body["items"].as_array()).into_iter().flatten();
        let left = items.filter(|item| item["position"] == position).map(Value::to_string).collect();
        operator.world.history.note(What::Forgotten { key: key.clone(), position, state: is, left });
        if let Some(sender) = crowd.person(key.user) {
            sender.sends(0, &key, "once more").await;
        }
    }
}
