//! The Raft logs of a cluster. They keep a deleted message for some minutes, until the servers compact them.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::ErasureId,
    log::{Log, RaftLogs, Unavailable},
};

/// How long an answer of the servers stays valid. Every question goes to every server, and nothing here is urgent.
const RECENT: Duration = Duration::from_secs(5);
/// The time in which nats-server compacts the Raft log of a stream that has changed.
const CHANGED: Duration = Duration::from_secs(240);

/// The erasures that wait for the Raft logs to be compacted.
#[derive(Default)]
pub(super) struct Compacting {
    goals: BTreeMap<ErasureId, BTreeMap<String, Goal>>,
    seen: Seen,
}

/// The streams whose Raft logs may have the content of an erasure.
pub(super) struct Streams {
    /// Those of the log. The deletions have changed each of them.
    pub of_log: Vec<String>,
    /// Those of copies that have nothing of the content any more.
    pub of_copies: Vec<String>,
}

/// What the Raft logs of a stream have to come to before they have lost the content of an erasure.
struct Goal {
    /// The index up to which they may have the content.
    index: u64,
    since: Instant,
    /// Whether the stream may not have changed at all.
    may_be_idle: bool,
}

impl Goal {
    /// Whether the Raft logs have lost the content.
    ///
    /// nats-server 2.15.1 compacts the Raft log of every stream, another version perhaps only one that has changed. So
    /// an entry that stays for longer has changed nothing and is no message; the election of a leader leaves such entries.
    fn is_reached(&self, logs: &RaftLogs) -> bool {
        let is_idle = || self.may_be_idle && self.since.elapsed() > CHANGED && logs.have_applied(self.index);
        logs.are_compacted(self.index) || is_idle()
    }
}

/// The latest answers of the servers, or why there was none: a question that a server does not answer takes time.
#[derive(Default)]
struct Seen(BTreeMap<String, (Instant, Result<RaftLogs, Unavailable>)>);

impl Seen {
    /// The Raft logs of a stream, as they were a moment ago, or as they are `now`; `None` if the servers do not report
    /// them.
    async fn look(&mut self, log: &Log, stream: &str, now: bool) -> Result<Option<RaftLogs>, Unavailable> {
        if let Some((at, seen)) = self.0.get(stream)
            && at.elapsed() < RECENT
            && (seen.is_err() || !now)
        {
            return seen.clone().map(Some);
        }
        let Some(looked) = log.raft_logs(stream).await.transpose() else { return Ok(None) };
        self.0.insert(stream.to_owned(), (Instant::now(), looked.clone()));
        looked.map(Some)
    }
}

impl Compacting {
    /// Whether all Raft logs have dropped the content of a request, after the streams have; `None` if the servers do not
    /// report their Raft logs.
    pub(super) async fn is_over(
        &mut self,
        log: &Log,
        erasure: ErasureId,
        streams: &Streams,
    ) -> Result<Option<bool>, Unavailable> {
        // A stream with one replica has no Raft log.
        let of_log = streams.of_log.iter().filter(|_| log.layout().replicas > 1);
        let all = of_log.map(|stream| (stream, false));
        let all = all.chain(streams.of_copies.iter().map(|stream| (stream, true)));
        let goals = self.goals.entry(erasure).or_default();
        let mut waits = Vec::new();
        for (stream, may_be_idle) in all {
            if goals.contains_key(stream) {
                continue;
            }
            // The content and its deletion entered the Raft log before this point. An answer from before the deletion
            // would give too low an index, so a recent answer is not reused here.
            let Some(logs) = self.seen.look(log, stream, true).await? else { return Ok(None) };
            let goal = Goal { index: logs.committed, since: Instant::now(), may_be_idle };
            if !goal.is_reached(&logs) {
                waits.push(stream);
            }
            goals.insert(stream.clone(), goal);
        }
        if !waits.is_empty() {
            tracing::info!(%erasure, streams = ?waits, "streams have lost the content of an erasure; waiting until the servers compact their Raft logs, within about three minutes");
        }
        for (stream, goal) in goals {
            let Some(logs) = self.seen.look(log, stream, false).await? else { return Ok(None) };
            if !goal.is_reached(&logs) {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    /// Forgets the requests that are no longer open.
    pub(super) fn retain(&mut self, is_open: impl Fn(ErasureId) -> bool) {
        self.goals.retain(|erasure, _| is_open(*erasure));
    }
}
