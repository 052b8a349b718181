//! The connections of consumers, as the servers count them.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::timeout;

use crate::log::Log;

/// The request for the connections of the account READERS, which the system account answers.
const CONNECTIONS: &str = "$SYS.REQ.ACCOUNT.READERS.CONNZ";
/// How long the first server may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// The number of servers is not known, so we wait this long for another answer after each one.
const MORE: Duration = Duration::from_millis(100);
/// The most connections that one server lists.
const MOST: usize = 1_000;

#[derive(Deserialize)]
struct Answer {
    data: Connz,
}

#[derive(Deserialize)]
struct Connz {
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    /// The JWT with which a user of operator mode logged in.
    jwt: Option<String>,
    /// The name of a user with a password; in operator mode a public key.
    authorized_user: Option<String>,
}

/// The claims in the JWT of a user.
#[derive(Deserialize)]
struct UserClaims {
    name: String,
}

impl Connection {
    /// The name of the user. nats-server has verified the JWT, so its claims are trusted.
    fn user(self) -> Option<String> {
        let Some(jwt) = self.jwt else { return self.authorized_user };
        let claims = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
        Some(serde_json::from_slice::<UserClaims>(&claims).ok()?.name)
    }
}

impl Log {
    /// The number of connections of each consumer, by its name; `None` if no server answers.
    pub(crate) async fn connections_of_consumers(&self) -> Option<HashMap<String, u64>> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.ok()?;
        let question = serde_json::json!({ "auth": true, "limit": MOST }).to_string();
        self.client.publish_with_reply(CONNECTIONS, inbox, question.into()).await.ok()?;
        let mut counted: Option<HashMap<String, u64>> = None;
        let mut patience = ANSWER;
        while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
            patience = MORE;
            let Ok(Answer { data }) = serde_json::from_slice::<Answer>(&answer.payload) else { continue };
            let counted = counted.get_or_insert_default();
            for connection in data.connections {
                if let Some(name) = connection.user() {
                    *counted.entry(name).or_default() += 1;
                }
            }
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_its_signed_text_or_of_its_password() {
        let user = |connection: serde_json::Value| {
            serde_json::from_value::<Connection>(connection).expect("a connection").user()
        };
        let signed = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(r#"{"name":"t1","nats":{}}"#));
        assert_eq!(
            user(serde_json::json!({ "jwt": signed, "authorized_user": "UAOH" })).as_deref(),
            Some("t1")
        );
        assert_eq!(user(serde_json::json!({ "authorized_user": "reader" })).as_deref(), Some("reader"));
        assert_eq!(user(serde_json::json!({ "jwt": "no text", "authorized_user": "UAOH" })), None);
    }
}
