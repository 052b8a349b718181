//! Writes entries, for the users of this node and for the users of a dead node.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    domain::{Status, UserId},
    log::{Here, LEASE, NodeId, Unavailable},
    presence::{Presence, here::RENEW, local::Write},
};

/// The time between two rounds of writing changed entries.
const TICK: Duration = Duration::from_millis(100);
/// The number of entries in one round, and how many of them are written concurrently.
const BATCH: usize = 256;
const AT_ONCE: usize = 32;
/// The pause after the servers have refused an entry.
const PAUSE: Duration = Duration::from_secs(1);

impl Presence {
    /// Writes changed entries until the process exits.
    pub(super) async fn write_entries(self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if !self.local().has_changed() {
                self.0.has_changed.notified().await;
                continue;
            }
            loop {
                let due = self.local().due(Instant::now(), BATCH);
                if due.is_empty() {
                    break;
                }
                if let Err(e) = self.write(due).await {
                    tracing::debug!(error = %e, "could not write presence; retrying");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Writes entries concurrently. If one fails, the entries that have not begun are left for later.
    async fn write(&self, due: Vec<Write>) -> Result<(), Unavailable> {
        let has_failed = AtomicBool::new(false);
        let outcomes = stream::iter(due).map(|write| {
            let has_failed = &has_failed;
            async move {
                if has_failed.load(Ordering::Relaxed) {
                    self.local().could_not_write(write);
                    return Ok(());
                }
                let put = self.put(write.user, &self.0.node, write.status).await;
                match &put {
                    Ok(()) => self.local().wrote(write),
                    Err(_) => {
                        has_failed.store(true, Ordering::Relaxed);
                        self.local().could_not_write(write);
                    }
                }
                put
            }
        });
        let outcomes: Vec<Result<(), Unavailable>> = outcomes.buffer_unordered(AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }

    async fn put(&self, user: UserId, node: &NodeId, status: Status) -> Result<(), Unavailable> {
        let here = Here { status, at: self.0.clock.now(), by: self.0.node.clone() };
        self.0.leases.put(user, node, &here).await
    }

    /// Periodically marks the entries of nodes whose lease has expired as offline, because the users of a dead node are
    /// gone.
    pub(super) async fn write_off_the_dead(self) {
        let mut look = interval(RENEW);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if self.calm_since().elapsed() <= LEASE {
                continue;
            }
            let others = self.of_others(|_| true);
            if others.is_empty() {
                continue;
            }
            let Ok(alive) = self.0.leases.alive().await else { continue };
            let dead = self.of_others(|node| !alive.contains(node));
            let written = stream::iter(dead).map(|(user, node)| {
                let presence = self.clone();
                async move { presence.put(user, &node, Status::Offline).await }
            });
            let mut written = written.buffer_unordered(AT_ONCE);
            while let Some(written) = written.next().await {
                if let Err(e) = written {
                    tracing::debug!(error = %e, "could not mark the users of a dead node as offline; retrying");
                    break;
                }
            }
        }
    }

    /// The entries of other nodes for users who are present.
    fn of_others(&self, wanted: impl Fn(&NodeId) -> bool) -> Vec<(UserId, NodeId)> {
        let board = self.0.board.read().unwrap_or_else(PoisonError::into_inner);
        let entries = board.of_nodes(|node| *node != self.0.node && wanted(node));
        entries.map(|(user, node)| (user, node.clone())).collect()
    }
}
