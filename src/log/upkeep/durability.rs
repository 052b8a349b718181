//! What the servers tell about their disks: how durable an acknowledged event is, and how much room is left.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant, timeout};

use crate::log::Log;

/// Nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;
/// How long to wait for one more answer, when one of all servers is enough to know what to do.
const NEXT: Duration = Duration::from_millis(100);
/// The same when every server matters: the one that answers late may be the one whose disk is full.
const LATE: Duration = Duration::from_millis(500);
/// How long the last answer of a server counts that does not answer any more.
const LAST: Duration = Duration::from_secs(300);

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
    server: Server,
    data: Varz,
}

#[derive(Deserialize)]
struct Server {
    domain: Option<String>,
}

#[derive(Deserialize)]
struct Varz {
    #[serde(default)]
    server_name: String,
    jetstream: JetStream,
    /// Nanoseconds between two pings to a silent client.
    #[serde(default)]
    ping_interval: u64,
    /// How many pings may be unanswered when the next one is due.
    #[serde(default)]
    ping_max: u64,
}

#[derive(Deserialize)]
struct JetStream {
    config: Option<Config>,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    storage: u64,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    sync_always: bool,
    #[serde(default)]
    max_storage: i64,
}

impl Varz {
    /// How long a client can be silent until the server cuts it off.
    fn patience(&self) -> Option<Duration> {
        (self.ping_interval > 0)
            .then(|| Duration::from_nanos(self.ping_interval.saturating_mul(self.ping_max.saturating_add(2))))
    }
}

impl JetStream {
    /// How much of its `max_file_store` a server uses, from 0 to 1.
    fn full(&self) -> Option<f64> {
        let most = self.config.as_ref()?.max_storage;
        (most > 0).then(|| self.stats.as_ref().map(|stats| stats.storage as f64 / most as f64))?
    }
}

/// How much of its space for streams each server used when it last told, from 0 to 1. A server that answers late stays
/// as it was.
#[derive(Default)]
pub(super) struct Fullness(BTreeMap<String, (f64, Instant)>);

impl Fullness {
    pub(super) fn told(&mut self, servers: Vec<(String, f64)>, now: Instant) {
        self.0.extend(servers.into_iter().map(|(server, full)| (server, (full, now))));
        self.0.retain(|_, (_, told)| now.duration_since(*told) < LAST);
    }

    pub(super) fn of_each(&self) -> Vec<(String, f64)> {
        self.0.iter().map(|(server, (full, _))| (server.clone(), *full)).collect()
    }
}

impl Log {
    /// Asks all servers. The weakest answer counts.
    pub async fn durability(&self) -> Durability {
        let servers = self.servers(NEXT).await;
        let each = servers.iter().filter_map(|server| server.jetstream.config.as_ref()).map(Durability::of);
        each.reduce(Durability::weaker).unwrap_or(Durability::Unknown)
    }

    /// How much of its space for streams each server uses, from 0 to 1; servers that do not tell it are missing.
    pub(crate) async fn storage(&self) -> Vec<(String, f64)> {
        let full = |server: Varz| Some((server.server_name, server.jetstream.full()?));
        self.servers(LATE).await.into_iter().filter_map(full).collect()
    }

    /// How long a client can be silent until every server cuts it off; `None` if no server tells.
    pub(crate) async fn longest_patience(&self) -> Option<Duration> {
        self.servers(NEXT).await.iter().filter_map(Varz::patience).max()
    }

    /// What each server of the log tells; nothing if the account may not request it. Servers of other JetStream domains
    /// answer, too, if they have joined as leaf nodes. They may have mirrors, but no stream of the log. The number of
    /// servers is not known, so this waits for `next` after each answer.
    async fn servers(&self, next: Duration) -> Vec<Varz> {
        let mut servers = Vec::new();
        let domain = self.jetstream.query_account().await.ok().map(|account| account.domain);
        let is_ours = |server: &Server| domain.as_ref().is_none_or(|domain| server.domain == *domain);
        let inbox = self.client.new_inbox();
        let Ok(mut answers) = self.client.subscribe(inbox.clone()).await else { return servers };
        let asked = self.client.publish_with_reply("$SYS.REQ.SERVER.PING.VARZ", inbox, "".into()).await;
        if asked.is_err() {
            return servers;
        }
        let mut patience = Duration::from_secs(1);
        while let Ok(Some(answer)) = timeout(patience, answers.next()).await {
            patience = next;
            let answer = serde_json::from_slice::<Answer>(&answer.payload).ok();
            servers.extend(answer.filter(|answer| is_ours(&answer.server)).map(|answer| answer.data));
        }
        servers
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
        let config = |sync_interval, sync_always| Config { sync_interval, sync_always, max_storage: -1 };
        assert_eq!(Durability::of(&config(120 * NANOSECONDS, true)), Durability::Always);
        assert_eq!(Durability::of(&config(NANOSECONDS / 2, false)), every(1));
    }

    #[test]
    fn a_silent_client_is_cut_off_when_too_many_pings_are_unanswered() {
        let patience = |of: &str| serde_json::from_str::<Varz>(of).expect("JSON").patience();
        let ours = r#"{"jetstream":{},"ping_interval":20000000000,"ping_max":2}"#;
        assert_eq!(patience(ours), Some(Duration::from_secs(80)));
        assert_eq!(patience(r#"{"jetstream":{}}"#), None);
    }

    #[test]
    fn a_server_that_does_not_answer_in_time_is_as_full_as_it_was_and_forgotten_when_it_is_gone() {
        let (mut storage, begun) = (Fullness::default(), Instant::now());
        let told =
            |of: &[(&str, f64)]| of.iter().map(|(server, full)| ((*server).to_owned(), *full)).collect();
        let round = Duration::from_secs(30);
        storage.told(told(&[("nats-0", 0.5), ("nats-1", 0.93)]), begun);
        storage.told(told(&[("nats-0", 0.6)]), begun + round);
        storage.told(told(&[]), begun + 2 * round);
        assert_eq!(storage.of_each(), told(&[("nats-0", 0.6), ("nats-1", 0.93)]));
        storage.told(told(&[("nats-0", 0.6)]), begun + LAST);
        assert_eq!(storage.of_each(), told(&[("nats-0", 0.6)]));
    }

    #[test]
    fn a_server_with_a_limit_tells_how_full_it_is() {
        let full = |of: &str| serde_json::from_str::<JetStream>(of).expect("JSON").full();
        assert_eq!(full(r#"{"config":{"max_storage":200},"stats":{"storage":150}}"#), Some(0.75));
        assert_eq!(full(r#"{"config":{"max_storage":-1},"stats":{"storage":150}}"#), None);
        assert_eq!(full("{}"), None);
    }
}
