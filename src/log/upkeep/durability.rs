//! How durable an acknowledged event is: the effective sync settings of the servers, read back from them.

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, timeout};

use crate::log::Log;

/// Nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// When nats-server syncs acknowledged events to disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "sync", rename_all = "snake_case")]
pub enum Durability {
    /// Before every acknowledgement: a power failure loses nothing that was acknowledged.
    Always,
    /// At intervals: a power failure loses the events that were acknowledged since the last sync.
    Interval {
        /// Seconds between two syncs.
        seconds: u64,
    },
    /// The server did not say: the account may not request `$SYS.REQ.SERVER.PING.VARZ`.
    Unknown,
}

impl Durability {
    fn of(config: &Config) -> Self {
        match config.sync_always {
            true => Self::Always,
            // Rounded up; otherwise an interval below a second would become 0.
            false => Self::Interval { seconds: config.sync_interval.div_ceil(NANOSECONDS) },
        }
    }

    /// The durability with which more can be lost.
    fn weaker(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Unknown, _) | (_, Self::Always) => self,
            (_, Self::Unknown) | (Self::Always, _) => other,
            (Self::Interval { seconds }, Self::Interval { seconds: others }) => {
                if seconds < others {
                    other
                } else {
                    self
                }
            }
        }
    }
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
    /// Asks all servers. The weakest answer counts.
    pub async fn durability(&self) -> Durability {
        let inbox = self.client.new_inbox();
        let Ok(mut answers) = self.client.subscribe(inbox.clone()).await else { return Durability::Unknown };
        let asked = self.client.publish_with_reply("$SYS.REQ.SERVER.PING.VARZ", inbox, "".into()).await;
        if asked.is_err() {
            return Durability::Unknown;
        }
        let mut weakest: Option<Durability> = None;
        // The number of servers is not known, so we wait a while for another answer after each one.
        let mut patience = Duration::from_secs(1);
        while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
            patience = Duration::from_millis(100);
            let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else { continue };
            let Some(config) = answer.data.jetstream.config else { continue };
            let this = Durability::of(&config);
            weakest = Some(match weakest {
                Some(known) => known.weaker(this),
                None => this,
            });
        }
        weakest.unwrap_or(Durability::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_of_several_servers_counts_in_whatever_order_they_answer() {
        let every = |seconds| Durability::Interval { seconds };
        let weakest_first = [Durability::Unknown, every(120), every(10), every(1), Durability::Always];
        for (weaker, one) in weakest_first.iter().enumerate() {
            for other in &weakest_first[weaker..] {
                assert_eq!(one.clone().weaker(other.clone()), *one, "{one:?} {other:?}");
                assert_eq!(other.clone().weaker(one.clone()), *one, "{other:?} {one:?}");
            }
        }
        let config = |sync_interval, sync_always| Config { sync_interval, sync_always };
        assert_eq!(Durability::of(&config(120 * NANOSECONDS, true)), Durability::Always);
        assert_eq!(Durability::of(&config(NANOSECONDS / 2, false)), every(1));
    }
}
