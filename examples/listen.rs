//! A small client: logs in, listens, prints events, and checks that none is missing.
//!
//! `cargo run --example listen -- ana 'correct horse battery'`, while `cargo run` serves.
//! `VERBATIM_LISTEN` names a server other than 127.0.0.1:8080.

use std::{collections::HashMap, env, error::Error};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(username), Some(password)) = (arguments.next(), arguments.next()) else {
        return Err("usage: listen <username> <password>".into());
    };
    let server = env::var("VERBATIM_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".into());

    let login = reqwest::Client::new()
        .post(format!("http://{server}/v1/logins"))
        .json(&json!({ "username": username, "password": password, "device": "listen.rs" }));
    let login: Value = login.send().await?.error_for_status()?.json().await?;
    let token = login["access_token"].as_str().ok_or("the login has no access token")?;

    let mut request = format!("ws://{server}/v1/ws").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "verbatim.v1".parse()?);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let (mut socket, _) = connect_async(request).await?;
    socket.send(Message::text(json!({ "op": "hello" }).to_string())).await?;

    let mut chains = Chains::default();
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => {
                let frame: Value = serde_json::from_str(&text)?;
                chains.check(&frame)?;
                show(&frame);
            }
            Message::Close(Some(close)) => println!("closed: {} {}", u16::from(close.code), close.reason),
            _ => {}
        }
    }
    Ok(())
}

fn show(frame: &Value) {
    match frame["op"].as_str() {
        Some("ready") => println!("       listening as {}", frame["user_id"]),
        Some("event") => println!("{:>6} {} {}", frame["position"].to_string(), frame["type"], frame["data"]),
        Some("heartbeat") => println!("       all there"),
        _ => println!("       {frame}"),
    }
}

/// The last position of each conversation. Every event names the one before it, and a heartbeat names the
/// last one, so a client notices a missing event.
#[derive(Default)]
struct Chains {
    me: Value,
    heads: HashMap<String, u64>,
}

impl Chains {
    fn check(&mut self, frame: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let position = |value: &Value| value.as_u64().unwrap_or_default();
        match frame["op"].as_str() {
            // `ready` names the first conversations, and `conversations` frames after it name the others.
            Some(op @ ("ready" | "conversations")) => {
                if op == "ready" {
                    *self = Self { me: frame["user_id"].clone(), ..Self::default() };
                }
                let all = frame["conversations"].as_array().into_iter().flatten();
                self.heads.extend(all.map(|one| (text(&one["id"]), position(&one["head"]))));
            }
            Some("event") => {
                let id = text(&frame["conversation_id"]);
                // A conversation that is new to this client begins with the event that added the user.
                let known = self.heads.insert(id.clone(), position(&frame["position"]));
                let previous = position(&frame["previous"]);
                if known.is_some_and(|known| known != previous) {
                    return Err(format!("{id}: an event between {known:?} and {previous} is missing"));
                }
                if frame["type"] == "member.removed" && frame["data"]["user_id"] == self.me {
                    self.heads.remove(&id);
                }
            }
            Some("heartbeat") => {
                for (id, head) in frame["heads"].as_object().into_iter().flatten() {
                    let known = self.heads.get(id).copied().unwrap_or_default();
                    if known < position(head) {
                        return Err(format!("{id}: the events from behind {known} to {head} are missing"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
