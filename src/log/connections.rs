//! The connections of consumers, as the servers count them.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::timeout;

use crate::log::Log;

/// The question about the connections of the account READERS, which the system account answers.
const CONNECTIONS: &str = "$SYS.REQ.ACCOUNT.READERS.CONNZ";
/// How long the first server may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// The number of servers is not known, so answers are awaited for so long after the last one.
const MORE: Duration = Duration::from_millis(100);
/// The most connections that one server tells.
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
    /// The name in the JWT of a user.
    name_tag: Option<String>,
    /// The name of a user with a password; in operator mode a public key.
    authorized_user: Option<String>,
}

impl Log {
    /// The number of connections of each consumer, by its name; `None` if no server tells.
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
                if let Some(name) = connection.name_tag.or(connection.authorized_user) {
                    *counted.entry(name).or_default() += 1;
                }
            }
        }
        counted
    }
}
