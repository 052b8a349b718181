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
    log::{Here, LEASE, NodeId, NotKept},
    presence::{Presence, here::RENEW, local::Write},
    telemetry::SOCKETS,
};

/// The time between two rounds of writing changed entries.
const TICK: Duration = Duration::from_millis(100);
/// The number of entries in one round, and how many of them are written concurrently.
const BATCH: usize = 256;
const AT_ONCE: usize = 32;
/// The pause after an entry could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// How long nodes may take to write all their entries again after an outage.
const REWRITTEN: Duration = Duration::from_secs(120);

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

    /// Writes entries concurrently. If the servers do not answer, the entries that have not begun are left for later. An
    /// entry for which there is no room holds up no other: the next one may be the end of a user who is there.
    async fn write(&self, due: Vec<Write>) -> Result<(), NotKept> {
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
                    Err(why) => {
                        if matches!(why, NotKept::Unavailable(_)) {
                            has_failed.store(true, Ordering::Relaxed);
                        }
                        self.local().could_not_write(write);
                    }
                }
                put
            }
        });
        let outcomes: Vec<Result<(), NotKept>> = outcomes.buffer_unordered(AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }

    async fn put(&self, user: UserId, node: &NodeId, status: Status) -> Result<(), NotKept> {
        let put = self.0.leases.put(user, node, &self.entry(status)).await;
        if let Err(why @ NotKept::Full(_)) = &put {
            SOCKETS.presence_refused.inc();
            tracing::warn!(error = %why, "could not write the presence of a user; retrying");
        }
        put
    }

    fn entry(&self, status: Status) -> Here {
        Here { status, at: self.0.clock.now(), by: self.0.node.clone() }
    }

    /// Periodically marks the entries of nodes whose lease has expired as offline, because the users of a dead node are
    /// gone. The same for entries whose removal this node has missed.
    pub(super) async fn write_off_the_dead(self) {
        let mut look = interval(RENEW);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let calm = self.calm_since().elapsed();
            if calm <= LEASE {
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
                if let Err(NotKept::Unavailable(e)) = written {
                    tracing::debug!(error = %e, "could not mark the users of a dead node as offline; retrying");
                    break;
                }
            }
            if calm > REWRITTEN {
                self.write_off_the_doubted().await;
            }
        }
    }

    /// Marks users as offline whose entries are not there any more, unless there is an entry after all.
    async fn write_off_the_doubted(&self) {
        let doubted: Vec<(UserId, NodeId)> = {
            let board = self.0.board.read().unwrap_or_else(PoisonError::into_inner);
            let of_others = board.doubted().filter(|(_, node)| **node != self.0.node);
            of_others.map(|(user, node)| (user, node.clone())).take(BATCH).collect()
        };
        for (user, node) in doubted {
            let offline = self.entry(Status::Offline);
            if let Err(e) = self.0.leases.put_if_missing(user, &node, &offline).await {
                tracing::debug!(error = %e, "could not mark a user without an entry as offline; retrying");
                return;
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
