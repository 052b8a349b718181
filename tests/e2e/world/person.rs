//! A person with an account, who uses REST.

use std::net::SocketAddr;

use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{Device, document};

pub const PASSWORD: &str = "correct horse battery";
/// The header with which a program acts for a user.
pub const ON_BEHALF_OF: &str = "verbatim-on-behalf-of";

/// A person with an account. A clone is cheap, and is the same person with the same login.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub id: String,
    pub token: String,
    pub refresh_token: String,
    pub address: SocketAddr,
    http: reqwest::Client,
}

/// A conversation, and its position after the last action.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub id: String,
    pub position: u64,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Asserts the status, and returns the body.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Asserts an answer without a body, and returns the position that the command has reached.
    pub fn reached(self) -> u64 {
        assert_eq!(self.status, StatusCode::NO_CONTENT, "{}", self.body);
        self.headers["verbatim-position"].to_str().expect("digits").parse().expect("a position")
    }

    /// Asserts a 410 with this reason.
    pub fn refuses_cursor(self, reason: &str) {
        let body = self.refuses(410, "cursor_gone");
        assert_eq!(body["errors"][0]["code"], reason, "{body}");
    }

    /// Asserts a problem with this status and code.
    pub fn refuses(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(self.body["request_id"].is_string() && self.body["type"].is_string(), "{}", self.body);
        self.body
    }
}

/// Sends a request without a token.
pub async fn ask(address: SocketAddr, method: Method, path: &str, body: Option<Value>) -> Answer {
    send(&reqwest::Client::new(), address, method, path, None, body).await
}

pub async fn send(
    http: &reqwest::Client,
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = http.request(method.clone(), format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
    if status == StatusCode::CONFLICT {
        document::names_conflict(&method, path, &body);
    }
    Answer { status, headers, body }
}

impl Person {
    pub async fn registers(address: SocketAddr, name: &str) -> Self {
        let account = json!({ "username": name, "password": PASSWORD });
        let account = ask(address, Method::POST, "/v1/accounts", Some(account)).await.expect(201);
        Self::logs_in(address, name, account["id"].as_str().expect("id")).await
    }

    pub async fn logs_in(address: SocketAddr, name: &str, id: &str) -> Self {
        let login = json!({ "username": name, "password": PASSWORD });
        let login = ask(address, Method::POST, "/v1/logins", Some(login)).await.expect(201);
        let text = |field: &str| login[field].as_str().expect(field).to_owned();
        Self {
            name: name.to_owned(),
            id: id.to_owned(),
            token: text("access_token"),
            refresh_token: text("refresh_token"),
            address,
            http: reqwest::Client::new(),
        }
    }

    /// A program, which has an API key and no login.
    pub fn program(address: SocketAddr, name: &str, id: &str, key: &str) -> Self {
        let (name, id, token) = (name.to_owned(), id.to_owned(), key.to_owned());
        Self { name, id, token, refresh_token: String::new(), address, http: reqwest::Client::new() }
    }

    /// A person whose login was created by a host application.
    pub fn with(login: &Value, address: SocketAddr) -> Self {
        let text = |field: &str| login[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: String::new(),
            id: text("user_id"),
            token: text("access_token"),
            refresh_token: text("refresh_token"),
            address,
            http: reqwest::Client::new(),
        }
    }

    /// The same person, with a name.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The same person at another node.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// The same person with another token, or with none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.unwrap_or_default().to_owned(), ..self.clone() }
    }

    /// The same person, with an idempotency key on all requests.
    pub fn with_key(&self, key: &str) -> Self {
        self.with_header("idempotency-key", key)
    }

    /// The same person, with an additional header on all requests.
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header");
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        let http = reqwest::Client::builder().default_headers(headers).build().expect("a client");
        Self { http, ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let token = (!self.token.is_empty()).then_some(&*self.token);
        send(&self.http, self.address, method, path, token, body).await
    }

    /// The status and the raw text of an answer. A JSON value would lose digits of its numbers.
    pub async fn sends_bytes(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        let request = request.bearer_auth(&self.token).header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// The raw text of an answer, which has to be a 200.
    pub async fn gets_bytes(&self, path: &str) -> String {
        let (status, body) = self.sends_bytes(Method::GET, path, "").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Opens a WebSocket and says hello.
    pub async fn connects(&self) -> Device {
        Device::connects(self.address, &self.token).await
    }

    /// Opens a WebSocket that resumes from a cursor.
    pub async fn resumes(&self, cursor: &str) -> Device {
        Device::resumes(self.address, &self.token, cursor).await
    }

    pub async fn starts_group(&self, title: &str, members: &[&Self]) -> Conversation {
        let ids: Vec<&str> = members.iter().map(|person| person.id.as_str()).collect();
        let body = json!({ "kind": "group", "title": title, "members": ids });
        Conversation::from(self.post("/v1/conversations", body).await.expect(201))
    }

    pub async fn starts_direct(&self, other: &Self) -> Answer {
        self.post("/v1/conversations", json!({ "kind": "direct", "user_id": other.id })).await
    }

    /// Sends a message over REST.
    pub async fn says(&self, to: &Conversation, text: &str) -> Value {
        self.sends(to, &key(), text).await.expect(201)
    }

    pub async fn sends(&self, to: &Conversation, client_id: &str, text: &str) -> Answer {
        let body = json!({ "client_id": client_id, "text": text });
        self.post(&format!("/v1/conversations/{}/messages", to.id), body).await
    }

    pub async fn invites(&self, to: &Conversation, other: &Self) -> Answer {
        self.post(&format!("/v1/conversations/{}/members", to.id), json!({ "user_id": other.id })).await
    }

    pub async fn removes(&self, from: &Conversation, other: &Self) -> Answer {
        self.delete(&format!("/v1/conversations/{}/members/{}", from.id, other.id)).await
    }

    pub async fn reads(&self, of: &Conversation, position: u64) -> Answer {
        self.put(&format!("/v1/conversations/{}/receipt", of.id), json!({ "read": position })).await
    }

    /// The texts of the last page, oldest first, once the views have reached `position`.
    pub async fn history(&self, of: &Conversation, position: u64) -> Vec<String> {
        let path = format!("/v1/conversations/{}/messages?min_position={position}", of.id);
        let page = self.get(&path).await.expect(200);
        let items = page["items"].as_array().expect("items");
        items.iter().rev().map(|message| message["text"].as_str().expect("text").to_owned()).collect()
    }
}

impl From<Value> for Conversation {
    fn from(body: Value) -> Self {
        Self {
            id: body["id"].as_str().expect("id").to_owned(),
            position: body["position"].as_u64().expect("position"),
        }
    }
}

/// The position in an answer, an event or a frame.
pub fn position(of: &Value) -> u64 {
    of["position"].as_u64().expect("a position")
}

/// A new idempotency key.
pub fn key() -> String {
    uuid::Uuid::now_v7().to_string()
}
