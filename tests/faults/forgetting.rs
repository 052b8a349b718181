//! Erasures during faults, requested by an operator's program. Nodes hide messages, and the eraser in the process of
//! the projector deletes them; faults affect all of these processes. Some people also request the erasure of their
//! accounts.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    chance::Chance,
    clients::{Client, Crowd},
    history::{Change, Key, What},
    person::{Answer, Person},
    world::{World, program},
};

const ERASURES: &str = "/v1/admin/erasures";
/// The time limit for erasures once no fault is left: a node checks for late edits 37 s after it has hidden a message,
/// and the work of a killed node is not taken over within the first minute.
pub const PATIENCE: Duration = Duration::from_secs(110);

/// A message whose erasure was requested.
pub struct Request {
    id: String,
    key: Key,
    position: u64,
}

/// Creates the first service account with the command line, while the servers are healthy.
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

/// Requests the erasure of one acknowledged message after the other, until a time.
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
            // The request may be stored or not. If it is, the message is erased.
            None => {}
        }
    }
    requests
}

/// An account whose erasure was requested.
pub struct Leaving {
    id: String,
    client: Arc<Client>,
}

/// Some people request the erasure of their accounts, one after the other until a time, once they have sent a message
/// and were removed from one of their groups. The operator grants no day for a change of mind. They keep sending for as
/// long as they can log in.
pub async fn people_leave(
    operator: &Person,
    crowd: &Crowd,
    mut chance: Chance,
    until: Instant,
) -> Vec<Leaving> {
    let history = &operator.world.history;
    let pause = (until - Instant::now()) / (crowd.leaving.len() as u32 + 1);
    let mut requests = Vec::new();
    for client in &crowd.leaving {
        sleep(pause).await;
        let Person { id: user, name, .. } = client.person.clone();
        let has_said = |what: &What| matches!(what, What::Acknowledged { key, .. } if key.user == user);
        while history.count_since(0, has_said) == 0 && Instant::now() < until {
            sleep(Duration::from_millis(100)).await;
        }
        if let Some(conversation) = client.conversations.first().copied()
            && let Some(owner) = crowd.owner_of(conversation)
        {
            owner.changes(chance.below(2), conversation, user, Change::Remove).await;
        }
        history.note(What::ForgetAccount { user, name });
        let Some(id) = client.person.wants_to_be_forgotten(chance.below(2)).await else { continue };
        requests.push(Leaving { id, client: client.clone() });
        let body = json!({ "user_id": user, "scope": "account_and_content", "reason_code": "request" });
        let answer = operator.insists(chance.below(2), Method::POST, ERASURES, Some(body)).await;
        // If the answer to an earlier attempt was lost, the account may already be gone.
        if !matches!(answer, Some(Answer { status: 202 | 400, .. })) {
            history.note(What::Blunder { by: operator.id, what: format!("{answer:?}") });
        }
    }
    requests
}

/// Waits until the receipts say `done`, records what is left of each account, and lets its owner try to log in once
/// more.
pub async fn are_forgotten(operator: &Person, requests: Vec<Leaving>, crowd: &Crowd, deadline: Instant) {
    for Leaving { id, client } in requests {
        let state = state(operator, &id, deadline).await;
        let user = client.person.id;
        let others = &crowd.clients[0].person;
        let profile = others.insists(0, Method::GET, &format!("/v1/users/{user}"), None).await;
        let mut shown: Vec<_> = profile.into_iter().map(|profile| profile.body.to_string()).collect();
        for conversation in &client.conversations {
            let Some(owner) = crowd.owner_of(*conversation) else { continue };
            let latest = format!("/v1/conversations/{conversation}/messages?limit=100");
            let page = owner.insists(0, Method::GET, &latest, None).await;
            let items = page.as_ref().and_then(|page| page.body["items"].as_array()).into_iter().flatten();
            shown.extend(items.filter(|item| item["sender"] == user.to_string()).map(Value::to_string));
        }
        let is_let_in = client.person.logs_in(0).await || client.person.logs_in(1).await;
        operator.world.history.note(What::ForgottenAccount { user, state, is_let_in, shown });
        for (number, conversation) in client.conversations.iter().copied().enumerate() {
            let key = Key { user, conversation, client_id: "afterwards".to_owned() };
            client.begins(&key, "still here");
            client.person.sends(number % 2, &key, "still here").await;
        }
    }
}

/// The state in a receipt once it is done, or at the deadline.
async fn state(operator: &Person, id: &str, deadline: Instant) -> String {
    let path = format!("{ERASURES}/{id}");
    loop {
        let receipt = operator.insists(0, Method::GET, &path, None).await;
        let state = receipt.and_then(|receipt| receipt.body["state"].as_str().map(str::to_owned));
        match state {
            Some(state) if state == "done" || Instant::now() >= deadline => return state,
            None if Instant::now() >= deadline => return "unknown".to_owned(),
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Waits until the receipts say `done`, records what is left of each message, and lets its sender retry once more.
pub async fn is_forgotten(operator: &Person, requests: Vec<Request>, crowd: &Crowd, deadline: Instant) {
    for Request { id, key, position } in requests {
        let state = state(operator, &id, deadline).await;
        let Some(reader) = crowd.owner_of(key.conversation).or_else(|| crowd.person(key.user)) else {
            continue;
        };
        let around = format!("/v1/conversations/{}/messages?around={position}&limit=10", key.conversation);
        let left = reader.insists(0, Method::GET, &around, None).await;
        let items = left.as_ref().and_then(|answer| answer.body["items"].as_array()).into_iter().flatten();
        let left = items.filter(|item| item["position"] == position).map(Value::to_string).collect();
        operator.world.history.note(What::Forgotten { key: key.clone(), position, state, left });
        if let Some(sender) = crowd.person(key.user) {
            sender.sends(0, &key, "once more").await;
        }
    }
}
