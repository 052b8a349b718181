//! The Raft logs of a cluster. They keep a deleted message for some minutes, until the servers compact them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::ErasureId,
    log::{Log, RaftLogs, Unavailable},
};

/// How long an answer of the servers stays valid. Every question goes to every server, and nothing here is urgent.
const RECENT: Duration = Duration::from_secs(5);

/// The erasures that wait for the Raft logs to be compacted.
#[derive(Default)]
pub(super) struct Compacting {
    /// For each request and stream, the index up to which the Raft log may still have the content.
    goals: BTreeMap<ErasureId, BTreeMap<usize, u64>>,
    seen: BTreeMap<usize, (Instant, RaftLogs)>,
}

impl Compacting {
    /// Whether all Raft logs have dropped the content of a request, after the log has; `None` if the servers do not
    /// report their Raft logs.
    pub(super) async fn is_over(
        &mut self,
        log: &Log,
        erasure: ErasureId,
        streams: &BTreeSet<usize>,
    ) -> Result<Option<bool>, Unavailable> {
        if log.layout().replicas == 1 {
            return Ok(Some(true));
        }
        if !self.goals.contains_key(&erasure) {
            // The content and its deletion entered the Raft logs before this point. An answer from before the deletion
            // would give too low an index, so a recent answer is not reused here.
            let mut goals = BTreeMap::new();
            for stream in streams {
                let Some(logs) = log.raft_logs(*stream).await? else { return Ok(None) };
                goals.insert(*stream, logs.committed);
                self.seen.insert(*stream, (Instant::now(), logs));
            }
            tracing::info!(%erasure, "the log has lost the content of an erasure; waiting until the servers compact their Raft logs, within about three minutes");
            self.goals.insert(erasure, goals);
        }
        for (stream, goal) in &self.goals[&erasure] {
            let is_recent = |(at, _): &(Instant, RaftLogs)| at.elapsed() < RECENT;
            if !self.seen.get(stream).is_some_and(is_recent) {
                let Some(logs) = log.raft_logs(*stream).await? else { return Ok(None) };
                self.seen.insert(*stream, (Instant::now(), logs));
            }
            if !self.seen[stream].1.are_compacted(*goal) {
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
