//! The Raft logs of a stream's replicas, as the servers report them. A replica that has executed a deletion has nothing
//! at the position any more, but its Raft log keeps the message until the server compacts it, which nats-server does
//! within minutes after a change.

use std::{collections::HashMap, fmt, time::Duration};

use async_nats::{PublishError, RequestErrorKind, StatusCode};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::log::{Log, Unavailable, streams::layout};

/// The request by which a user learns its own account.
const USER: &str = "$SYS.REQ.USER.INFO";
/// The request for the Raft groups of an account, which every server answers.
const RAFT: &str = "$SYS.REQ.SERVER.PING.RAFTZ";
/// How long the first server may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long another one may take after each answer.
const MORE: Duration = Duration::from_millis(200);
/// How often the servers are asked before their first report.
const ASKED: usize = 5;
/// How long a replica may need to execute what is committed.
const BEHIND: Duration = Duration::from_secs(2);
/// The pause between two requests meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// The Raft logs of all replicas of a stream, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RaftLogs {
    /// The index of the last entry that the leader knows to be on a majority of the replicas.
    pub committed: u64,
    replicas: Vec<RaftLog>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RaftLog {
    applied: u64,
    /// The index of the oldest entry in the log, or of the next one if the log is empty.
    first: u64,
}

impl RaftLogs {
    /// Whether every replica has executed all entries up to an index.
    pub(crate) fn have_applied(&self, index: u64) -> bool {
        self.replicas.iter().all(|log| log.applied >= index)
    }

    /// Whether no replica has an entry up to an index in its log any more.
    pub(crate) fn are_compacted(&self, index: u64) -> bool {
        self.replicas.iter().all(|log| log.applied >= index && log.first > index)
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct User {
    account: String,
}

/// The groups of a server, by account and name.
type Groups = HashMap<String, HashMap<String, Group>>;

#[derive(Deserialize)]
struct Group {
    state: State,
    committed: u64,
    applied: u64,
    wal: Wal,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Leader,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Wal {
    first_seq: u64,
}

/// Why there is no report of a Raft group.
enum Silence {
    /// The servers do not report their Raft logs to this process.
    Unsupported(String),
    /// There was no answer that could be read, or none of a server that has the group.
    ForNow(Unavailable),
}

impl Log {
    /// Whether every replica of a stream has executed all that the leader has committed by now; `None` if the servers do
    /// not report it.
    pub(in crate::log) async fn replicas_are_current(
        &self,
        stream: usize,
    ) -> Result<Option<bool>, Unavailable> {
        let name = layout::name(stream);
        let Some(mut logs) = self.raft_logs(&name).await? else { return Ok(None) };
        let (now, begun) = (logs.committed, Instant::now());
        while !logs.have_applied(now) {
            if begun.elapsed() > BEHIND {
                return Ok(Some(false));
            }
            sleep(PAUSE).await;
            let Some(later) = self.raft_logs(&name).await? else { return Ok(None) };
            logs = later;
        }
        Ok(Some(true))
    }

    /// The Raft logs of a stream's replicas; `None` if the servers do not report them to this process.
    ///
    /// Silence has two meanings. After the first report it is an outage, and so is an answer that cannot be read. Servers
    /// that never report anything, however often they are asked, are taken not to support it.
    pub(crate) async fn raft_logs(&self, stream: &str) -> Result<Option<RaftLogs>, Unavailable> {
        let of = self.jetstream.get_stream(stream).await.map_err(Unavailable::because)?;
        let (replicas, cluster) = (of.cached_info().config.num_replicas, of.cached_info().cluster.as_ref());
        if replicas == 1 {
            // There is no Raft log.
            return Ok(Some(RaftLogs { committed: 0, replicas: Vec::new() }));
        }
        if self.reports.are_given_up() {
            return Ok(None);
        }
        let Some(group) = cluster.and_then(|cluster| cluster.raft_group.as_deref()) else {
            return Ok(self.no_reports("nats-server does not name the Raft group of a stream"));
        };
        let mut asked = 0;
        loop {
            let why = match self.groups(group, replicas).await {
                Ok(groups) => {
                    self.reports.came();
                    return logs_of(stream, replicas, &groups).map(Some);
                }
                Err(Silence::Unsupported(why)) => return Ok(self.no_reports(&why)),
                Err(Silence::ForNow(why)) => why,
            };
            asked += 1;
            if self.reports.have_come() || !self.is_connected() {
                return Err(why);
            }
            if asked == ASKED {
                self.reports.give_up();
                return Ok(self.no_reports(&why.to_string()));
            }
            sleep(ANSWER).await;
        }
    }

    /// Tells once that the servers do not report their Raft logs.
    fn no_reports(&self, why: &str) -> Option<RaftLogs> {
        if self.reports.is_news() {
            tracing::warn!(
                why,
                "could not read the Raft logs of the servers; no erasure is waiting for them"
            );
        }
        None
    }

    /// The account of this connection.
    async fn own_account(&self) -> Result<&str, Silence> {
        if let Some(account) = self.reports.account().get() {
            return Ok(account);
        }
        let asked = timeout(ANSWER, self.client.request(USER, "".into()));
        let answer = match self.maker.refusals.hear(USER, asked).await {
            Err(_) => return Err(refused(USER)),
            Ok(Err(_)) => return Err(silent(USER)),
            Ok(Ok(Err(e))) if e.kind() == RequestErrorKind::NoResponders => {
                return Err(unanswered(USER));
            }
            Ok(Ok(Err(e))) => return Err(Silence::ForNow(Unavailable::because(e))),
            Ok(Ok(Ok(answer))) => answer,
        };
        let Answer { data: User { account } } = serde_json::from_slice(&answer.payload)
            .map_err(|e| Silence::ForNow(Unavailable::because(format!("{USER}: {e}"))))?;
        Ok(self.reports.account().get_or_init(|| account))
    }

    /// A Raft group as each of its servers sees it. At least one server has answered.
    async fn groups(&self, group: &str, replicas: usize) -> Result<Vec<Group>, Silence> {
        let account = self.own_account().await?;
        let for_now = |e: &dyn fmt::Display| Silence::ForNow(Unavailable::because(e));
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(|e| for_now(&e))?;
        let question = serde_json::json!({ "account": account, "group": group }).to_string();
        let asked = async {
            self.client.publish_with_reply(RAFT, inbox, question.into()).await?;
            let (mut found, mut patience) = (Vec::new(), ANSWER);
            while found.len() < replicas
                && let Ok(Some(answer)) = timeout(patience, answers.next()).await
            {
                patience = MORE;
                if answer.status == Some(StatusCode::NO_RESPONDERS) {
                    return Ok(None);
                }
                let Ok(answer) = serde_json::from_slice::<Answer<Option<Groups>>>(&answer.payload) else {
                    continue;
                };
                found.extend(answer.data.unwrap_or_default().into_values().flat_map(HashMap::into_values));
            }
            Ok::<_, PublishError>(Some(found))
        };
        match self.maker.refusals.hear(RAFT, asked).await {
            Err(_) => Err(refused(RAFT)),
            Ok(Err(e)) => Err(for_now(&e)),
            Ok(Ok(None)) => Err(unanswered(RAFT)),
            Ok(Ok(Some(found))) if found.is_empty() => Err(silent(RAFT)),
            Ok(Ok(Some(found))) => Ok(found),
        }
    }
}

fn refused(question: &str) -> Silence {
    Silence::Unsupported(format!("the NATS user may not publish to {question}"))
}

fn unanswered(question: &str) -> Silence {
    Silence::Unsupported(format!("the NATS account has nobody who answers {question}"))
}

fn silent(question: &str) -> Silence {
    Silence::ForNow(Unavailable::because(format!("{question} brought no answer of use within {ANSWER:?}")))
}

/// The Raft logs of a stream from the answers of its servers.
fn logs_of(stream: &str, replicas: usize, groups: &[Group]) -> Result<RaftLogs, Unavailable> {
    let found = groups.len();
    if found < replicas {
        let why = format!("{found} of {replicas} replicas of {stream} report their Raft log");
        return Err(Unavailable::because(why));
    }
    let leader = groups.iter().find(|group| group.state == State::Leader);
    let leader = leader.ok_or_else(|| Unavailable::because(format!("{stream} has no leader")))?;
    let log = |group: &Group| RaftLog { applied: group.applied, first: group.wal.first_seq };
    Ok(RaftLogs { committed: leader.committed, replicas: groups.iter().map(log).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: State, committed: u64, applied: u64, first_seq: u64) -> Group {
        Group { state, committed, applied, wal: Wal { first_seq } }
    }

    #[test]
    fn all_replicas_have_to_report() {
        let mut groups = vec![group(State::Leader, 9, 9, 10), group(State::Other, 9, 8, 4)];
        let few = logs_of("CHAT_0", 3, &groups).expect_err("one is away").to_string();
        assert!(few.contains("2 of 3 replicas of CHAT_0"), "{few}");
        groups.push(group(State::Other, 9, 9, 10));
        let logs = logs_of("CHAT_0", 3, &groups).expect("all are there");
        assert_eq!((logs.have_applied(8), logs.have_applied(9)), (true, false));
        assert_eq!((logs.are_compacted(3), logs.are_compacted(4)), (true, false));
        groups.retain(|group| group.state == State::Other);
        assert!(logs_of("CHAT_0", 2, &groups).is_err(), "nobody knows what is committed");
    }
}
