//! The Raft logs of a stream's replicas, as the servers report them. A replica that has executed a deletion has nothing
//! at the position any more, but its Raft log keeps the message until the server compacts it, which nats-server does
//! within minutes after a change.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::log::{Log, Unavailable, streams::layout};

/// The request by which a user learns its own account.
const USER: &str = "$SYS.REQ.USER.INFO";
/// The request for the Raft groups of an account, which every server answers.
const RAFT: &str = "$SYS.REQ.SERVER.PING.RAFTZ";
/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
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

impl Log {
    /// Whether every replica of a stream has executed all that the leader has committed by now; `None` if the servers do
    /// not report it.
    pub(in crate::log) async fn replicas_are_current(
        &self,
        stream: usize,
    ) -> Result<Option<bool>, Unavailable> {
        let Some(mut logs) = self.raft_logs(stream).await? else { return Ok(None) };
        let (now, begun) = (logs.committed, Instant::now());
        while !logs.have_applied(now) {
            if begun.elapsed() > BEHIND {
                return Ok(Some(false));
            }
            sleep(PAUSE).await;
            let Some(later) = self.raft_logs(stream).await? else { return Ok(None) };
            logs = later;
        }
        Ok(Some(true))
    }

    /// The Raft logs of a stream's replicas; `None` if the servers do not report them to this account.
    pub(crate) async fn raft_logs(&self, stream: usize) -> Result<Option<RaftLogs>, Unavailable> {
        let name = layout::name(stream);
        let of = self.jetstream.get_stream(&name).await.map_err(Unavailable::because)?;
        let cluster = of.cached_info().cluster.as_ref();
        let Some(group) = cluster.and_then(|cluster| cluster.raft_group.clone()) else { return Ok(None) };
        let Some(account) = self.own_account().await else { return Ok(None) };
        let replicas = of.cached_info().config.num_replicas;
        let groups = self.groups(&account, &group, replicas).await?;
        match groups.len() {
            0 => return Ok(None),
            found if found < replicas => {
                let why = format!("{found} of {replicas} replicas of {name} report their Raft log");
                return Err(Unavailable::because(why));
            }
            _ => {}
        }
        let leader = groups.iter().find(|group| group.state == State::Leader);
        let Some(leader) = leader else {
            return Err(Unavailable::because(format!("{name} has no leader")));
        };
        let log = |group: &Group| RaftLog { applied: group.applied, first: group.wal.first_seq };
        Ok(Some(RaftLogs { committed: leader.committed, replicas: groups.iter().map(log).collect() }))
    }

    /// The account of this connection; `None` if the server does not report it.
    async fn own_account(&self) -> Option<String> {
        let answer = timeout(ANSWER, self.client.request(USER, "".into())).await.ok()?.ok()?;
        let answer: Answer<User> = serde_json::from_slice(&answer.payload).ok()?;
        Some(answer.data.account)
    }

    /// A Raft group as each of its servers sees it; empty if the servers do not report it.
    async fn groups(&self, account: &str, group: &str, replicas: usize) -> Result<Vec<Group>, Unavailable> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(Unavailable::because)?;
        let question = serde_json::json!({ "account": account, "group": group }).to_string();
        let asked = self.client.publish_with_reply(RAFT, inbox, question.into()).await;
        asked.map_err(Unavailable::because)?;
        let mut found = Vec::new();
        while found.len() < replicas
            && let Ok(Some(answer)) = timeout(ANSWER, answers.next()).await
        {
            let Ok(answer) = serde_json::from_slice::<Answer<Option<Groups>>>(&answer.payload) else {
                continue;
            };
            found.extend(answer.data.unwrap_or_default().into_values().flat_map(HashMap::into_values));
        }
        Ok(found)
    }
}
