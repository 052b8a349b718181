//! What an acknowledgement is worth: the effective settings of the servers, read back from them.

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, timeout};

use super::Log;

/// When nats-server syncs what it acknowledges to disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "sync", rename_all = "snake_case")]
pub enum Durability {
    /// Before every acknowledgement: a power failure loses nothing that was acknowledged.
    Always,
    /// Every so often: a power failure loses what was acknowledged since.
    Interval {
        /// Seconds between two syncs.
        seconds: u64,
    },
    /// The server did not tell: the account may not ask `$SYS.REQ.SERVER.PING.VARZ`.
    Unknown,
}

#[derive(Deserialize)]
struct Answer {
    data: Varz,
}

#[derive(Deserialize)]
struct Varz {
    jetstream: JetStream,
}

#[derive(Deserialize)]
struct JetStream {
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    sync_always: bool,
}

impl Log {
    /// Asks all servers; the weakest counts.
    pub async fn durability(&self) -> Durability {
        let inbox = self.client.new_inbox();
        let Ok(mut answers) = self.client.subscribe(inbox.clone()).await else { return Durability::Unknown };
        let asked = self.client.publish_with_reply("$SYS.REQ.SERVER.PING.VARZ", inbox, "".into()).await;
        if asked.is_err() {
            return Durability::Unknown;
        }
        let mut weakest: Option<Durability> = None;
        // The number of servers is not known, so answers are awaited for a while after the last.
        let mut patience = Duration::from_secs(1);
        while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
            patience = Duration::from_millis(100);
            let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else { continue };
            let Some(config) = answer.data.jetstream.config else { continue };
            let this = if config.sync_always {
                Durability::Always
            } else {
                Durability::Interval { seconds: config.sync_interval / 1_000_000_000 }
            };
            let weaker =
                !matches!((&weakest, &this), (Some(Durability::Interval { .. }), Durability::Always));
            if weaker {
                weakest = Some(this);
            }
        }
        weakest.unwrap_or(Durability::Unknown)
    }
}
