//! A person with an account, who uses REST, retries, and records what happens.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use verbatim::domain::{ConversationId, MessageId, UserId};

use crate::{
    history::{Change, Key, What},
    world::World,
};

const PASSWORD: &str = "correct horse battery";
/// The time limit of a request. It is shorter than the server's own deadline, so that some answers are lost.
const REQUEST: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    token: Arc<RwLock<String>>,
    http: reqwest::Client,
    pub world: Arc<World>,
}

/// The outcome of one attempt to send.
pub enum Outcome {
    Stored,
    Refused,
    Unknown,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Person {
    /// Registers and logs in, while the servers are healthy.
    pub async fn registers(world: &Arc<World>, number: usize) -> Self {
        let http = reqwest::Client::builder().timeout(REQUEST).build().expect("a client");
        let name = name_of(number);
        let mut person = Self { id: nobody(), name, token: Arc::default(), http, world: world.clone() };
        let account = json!({ "username": person.name, "password": PASSWORD });
        let answer = person.ask(number % 2, Method::POST, "/v1/accounts", Some(account)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        person.id = answer.body["id"].as_str().expect("id").parse().expect("id");
        assert!(person.logs_in(number % 2).await, "{} logs in", person.name);
        person
    }

    /// The account of a program, which has a key and no password.
    pub fn program(world: &Arc<World>, id: UserId, key: String) -> Self {
        let http = reqwest::Client::builder().timeout(REQUEST).build().expect("a client");
        let token = Arc::new(RwLock::new(key));
        Self { id, name: "operator".to_owned(), token, http, world: world.clone() }
    }

    pub async fn logs_in(&self, node: usize) -> bool {
        let login = json!({ "username": self.name, "password": PASSWORD });
        match self.ask(node, Method::POST, "/v1/logins", Some(login)).await {
            Some(Answer { status: 201, body }) => {
                let token = body["access_token"].as_str().expect("a token").to_owned();
                *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
                true
            }
            _ => false,
        }
    }

    pub fn token(&self) -> String {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request. `None` if there was no complete answer.
    pub async fn ask(&self, node: usize, method: Method, path: &str, body: Option<Value>) -> Option<Answer> {
        let mut request =
            self.http.request(method.clone(), format!("http://{}{path}", self.world.door(node)));
        request = request.bearer_auth(self.token());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).ok()? };
        if status >= 500 && status != 503 {
            let what = format!("{method} {path}: {status} {body}");
            self.world.history.note(What::Blunder { by: self.id, what });
        }
        Some(Answer { status, body })
    }

    /// Retries a request until there is a conclusive answer, at most for a minute.
    pub async fn insists(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<Answer> {
        let asking = async {
            for attempt in 0.. {
                match self.ask((node + attempt) % 2, method.clone(), path, body.clone()).await {
                    Some(Answer { status: 401, .. }) => drop(self.logs_in((node + attempt) % 2).await),
                    Some(answer) if answer.status != 503 && answer.status != 429 => return Some(answer),
                    _ => {}
                }
                sleep(Duration::from_millis(200)).await;
            }
            None
        };
        timeout(Duration::from_secs(60), asking).await.ok().flatten()
    }

    /// One attempt to send over REST.
    pub async fn sends(&self, node: usize, key: &Key, text: &str) -> Outcome {
        let body = json!({ "client_id": key.client_id, "text": text });
        let path = format!("/v1/conversations/{}/messages", key.conversation);
        let key = key.clone();
        let (what, outcome) = match self.ask(node, Method::POST, &path, Some(body)).await {
            Some(Answer { status: 201, body }) => {
                let (position, message_id) = (position(&body), message_id(&body["id"]));
                let mut hash = DefaultHasher::new();
                body.to_string().hash(&mut hash);
                let body = Some(hash.finish());
                (What::Acknowledged { key, position, message_id, body }, Outcome::Stored)
            }
            Some(Answer { status: status @ (401 | 429 | 500..), .. }) => {
                if status == 401 {
                    self.logs_in(node).await;
                }
                (What::Unknown { key, why: status.to_string() }, Outcome::Unknown)
            }
            Some(Answer { status, body }) => {
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                (What::Refused { key, status, code }, Outcome::Refused)
            }
            None => (What::Unknown { key, why: "no answer".into() }, Outcome::Unknown),
        };
        self.world.history.note(what);
        outcome
    }

    /// Adds or removes a user, however long it takes.
    pub async fn changes(&self, node: usize, conversation: ConversationId, user: UserId, change: Change) {
        let history = &self.world.history;
        history.note(What::Asked { by: self.id, conversation, user, change });
        let path = format!("/v1/conversations/{conversation}/members");
        let answer = match change {
            Change::Add => self.insists(node, Method::POST, &path, Some(json!({ "user_id": user }))).await,
            Change::Remove => self.insists(node, Method::DELETE, &format!("{path}/{user}"), None).await,
        };
        match answer {
            Some(Answer { status: 200, .. }) | None => {}
            Some(Answer { status: 201 | 204, .. }) => {
                history.note(What::Changed { by: self.id, conversation, user, change });
            }
            Some(other) => {
                history.note(What::Blunder { by: self.id, what: format!("{change:?}: {other:?}") });
            }
        }
    }

    /// Requests the erasure of the own account with all messages, and returns the id of the request.
    pub async fn wants_to_be_forgotten(&self, node: usize) -> Option<String> {
        let body = json!({ "scope": "account_and_content", "confirm": PASSWORD });
        let answer = self.insists(node, Method::POST, "/v1/me/erasure", Some(body)).await?;
        match answer.status {
            202 => answer.body["id"].as_str().map(str::to_owned),
            _ => {
                self.world.history.note(What::Blunder { by: self.id, what: format!("{answer:?}") });
                None
            }
        }
    }

    /// Records the watermarks of all members of a conversation.
    pub async fn looks_at_receipts(&self, node: usize, conversation: ConversationId) {
        let path = format!("/v1/conversations/{conversation}/receipts?limit=200");
        let Some(Answer { status: 200, body }) = self.ask(node, Method::GET, &path, None).await else {
            return;
        };
        for item in body["items"].as_array().into_iter().flatten() {
            self.world.history.note(What::Watermarks {
                by: self.id,
                conversation,
                user: item["user_id"].as_str().and_then(|id| id.parse().ok()).expect("a user"),
                delivered: item["delivered"].as_u64().expect("a position"),
                read: item["read"].as_u64().expect("a position"),
            });
        }
    }

    /// Starts a group, while the servers are healthy.
    pub async fn starts(&self, title: &str, members: &[UserId]) -> ConversationId {
        let body = json!({ "kind": "group", "title": title, "members": members });
        let answer = self.insists(0, Method::POST, "/v1/conversations", Some(body)).await.expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["id"].as_str().expect("id").parse().expect("id")
    }
}

pub fn position(body: &Value) -> u64 {
    body["position"].as_u64().expect("a position")
}

pub fn message_id(id: &Value) -> MessageId {
    id.as_str().expect("an id").parse().expect("an id")
}

/// A name of letters only, because names that look like others are refused.
fn name_of(number: usize) -> String {
    let letter = |digit: usize| char::from(b'a' + (digit % 26) as u8);
    format!("person.{}{}{}", letter(number / 676), letter(number / 26), letter(number))
}

fn nobody() -> UserId {
    "00000000-0000-7000-8000-000000000000".parse().expect("an id")
}
