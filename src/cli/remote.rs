//! Commands over the network. They use the admin API (`/v1/admin`) of a node instead of the servers.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{
    app::AppError,
    outbound::{Bounds, Failed, NamedServer, Verb},
};

/// The limits of an answer. A page of 200 audit events is far smaller.
const BOUNDS: Bounds = Bounds { within: Duration::from_secs(30), bytes: 8 << 20 };

/// A node that executes commands.
#[derive(Debug)]
pub(super) struct Remote {
    node: NamedServer,
    key: String,
}

/// Why a node did not execute a command.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDone {
    /// The node did not answer.
    #[error("VERBATIM_URL: {0}")]
    Unanswered(#[from] Failed),
    /// The node refused the request.
    #[error("the node refused the request ({status} {code}): {detail}")]
    Refused { status: u16, code: String, detail: String },
    /// The server that answered is not a node.
    #[error("VERBATIM_URL: got status {0} without JSON: check that this is the public address of a node")]
    NoNode(u16),
}

impl From<NotDone> for AppError {
    fn from(error: NotDone) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Remote {
    pub(super) fn new((node, key): (NamedServer, String)) -> Self {
        Self { node, key }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, NotDone> {
        self.ask(Verb::Get, path).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, NotDone> {
        self.ask(Verb::Post(Bytes::from(body.to_string())), path).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, NotDone> {
        self.ask(Verb::Delete, path).await
    }

    /// All items of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, NotDone> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("{path}?limit=200{cursor}")).await?;
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            let Some(next) = page["next_cursor"].as_str() else { return Ok(items) };
            cursor = format!("&cursor={}", encoded(next));
        }
    }

    async fn ask(&self, verb: Verb, path: &str) -> Result<Value, NotDone> {
        let (status, answer) = self.node.ask(verb, path, &self.key, BOUNDS).await?;
        if status == 204 {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| NotDone::NoNode(status))?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let code = text(&answer["code"]).ok_or(NotDone::NoNode(status))?;
        let mut detail = text(&answer["detail"]).unwrap_or_default();
        for wrong in answer["errors"].as_array().into_iter().flatten() {
            let (pointer, why) = (wrong["pointer"].as_str(), wrong["detail"].as_str());
            detail.push_str(&format!(" {}: {}.", pointer.unwrap_or_default(), why.unwrap_or_default()));
        }
        Err(NotDone::Refused { status, code, detail })
    }
}

/// Percent-encodes a text for a query string.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
