//! The handle of presence for the other modules, which returns a status and takes in sessions; and the tasks that keep
//! presence correct.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    accounts,
    clock::Clock,
    domain::{Status, Time, UserId},
    log::{LeaseChange, LeaseNews, Leases, Log, NodeId, Unavailable},
    presence::{
        board::Board,
        local::{Local, PACE, SessionId},
        pending::Pending,
        settings::PresenceSettings,
    },
    supervise::Supervisor,
    telemetry::METRICS,
    views::Progress,
};

/// The time between two renewals of the lease, and between two searches for dead nodes.
pub(super) const RENEW: Duration = Duration::from_secs(4);
/// How long a stopping node waits for Postgres.
const ANSWER: Duration = Duration::from_secs(3);
/// The number of changes that are announced concurrently.
const TELLERS: usize = 8;

/// Queries and reports presence. Cheap to clone.
#[derive(Clone)]
pub struct Presence(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) log: Log,
    pub(super) pool: PgPool,
    pub(super) clock: Clock,
    pub(super) progress: Progress,
    pub(super) settings: PresenceSettings,
    pub(super) node: NodeId,
    pub(super) leases: Leases,
    pub(super) board: RwLock<Board>,
    pub(super) local: Mutex<Local>,
    /// Wakes the task that writes the entries of `local`.
    pub(super) has_changed: Notify,
    pub(super) pending: Mutex<Pending>,
    /// Wakes the tasks that announce the changes in `pending`.
    pub(super) has_news: Notify,
    /// Since when every renewal of the lease has succeeded, and the watch has not broken off. After an outage, all leases
    /// are gone until their nodes have returned.
    pub(super) calm_since: Mutex<Instant>,
}

impl Presence {
    /// A user's status over all nodes.
    pub fn status(&self, user: UserId) -> Status {
        self.0.board.read().unwrap_or_else(PoisonError::into_inner).status(user)
    }

    /// When a user was last here, as far as a node knows that they are, or that they have just left.
    pub fn last_seen_at(&self, user: UserId) -> Option<Time> {
        self.0.board.read().unwrap_or_else(PoisonError::into_inner).last_seen_at(user)
    }

    /// Notes a session that has begun, has another status, or has ended (`offline`).
    pub fn tell(&self, user: UserId, session: SessionId, status: Status) {
        self.local().session(user, session, status, Instant::now());
        self.0.has_changed.notify_one();
    }

    /// Stores when the users of this node were last here, before it stops: the buckets may not outlive it.
    pub async fn keep_last_seen(&self) {
        let (seen, now) = (self.local().seen(Instant::now()), self.0.clock.now());
        let seen: Vec<_> = seen.into_iter().map(|(user, since)| (user, now.minus(since))).collect();
        match timeout(ANSWER, accounts::saw(&self.0.pool, &seen)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(error = %e, "could not store when users were last seen"),
            Err(_) => tracing::warn!("could not store in time when users were last seen"),
        }
    }

    /// Starts the tasks that watch presence and announce its changes.
    pub async fn start(
        log: Log,
        pool: PgPool,
        clock: Clock,
        settings: PresenceSettings,
        tasks: &Supervisor,
    ) -> Result<Self, Unavailable> {
        let leases = log.leases().await?;
        let node = NodeId::new();
        leases.renew(&node, 0).await?;
        let presence = Self(Arc::new(Inner {
            log,
            progress: Progress::new(pool.clone()),
            pool,
            clock,
            settings,
            node,
            leases,
            board: RwLock::default(),
            local: Mutex::new(Local::new(settings.grace, PACE)),
            has_changed: Notify::new(),
            pending: Mutex::default(),
            has_news: Notify::new(),
            calm_since: Mutex::new(Instant::now()),
        }));
        tasks.spawn("presence lease", presence.clone().keep_the_lease());
        tasks.spawn("presence entries", presence.clone().write_entries());
        tasks.spawn("presence of the dead", presence.clone().write_off_the_dead());
        tasks.spawn("presence board", presence.clone().watch());
        for _ in 0..TELLERS {
            tasks.spawn("presence news", presence.clone().tell_news());
        }
        Ok(presence)
    }

    pub(super) fn local(&self) -> MutexGuard<'_, Local> {
        self.0.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn calm_since(&self) -> MutexGuard<'_, Instant> {
        self.0.calm_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease and does nothing else: slow work would let the lease expire, and the node would be declared
    /// dead while alive.
    async fn keep_the_lease(self) {
        let mut connections = self.0.log.connections();
        let mut renew = interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = renew.tick() => {}
                changed = connections.changed() => {
                    if changed.is_err() { return }
                    // The buckets are in memory, so they may have lost this node's entries in an outage.
                    *self.calm_since() = Instant::now();
                    self.local().write_all_again();
                    self.0.has_changed.notify_one();
                }
            }
            let sessions = METRICS.sessions.get().try_into().unwrap_or_default();
            if let Err(e) = self.0.leases.renew(&self.0.node, sessions).await {
                tracing::debug!(error = %e, "could not renew the lease; retrying");
                *self.calm_since() = Instant::now();
            }
        }
    }

    /// Keeps the board current, and notes the changes that this node has to announce.
    async fn watch(self) {
        let mut changes = self.0.leases.changes();
        loop {
            let change = match changes.next().await {
                LeaseNews::Changed(change) => change,
                LeaseNews::Anew => {
                    self.0.board.write().unwrap_or_else(PoisonError::into_inner).doubt_all();
                    *self.calm_since() = Instant::now();
                    continue;
                }
            };
            let LeaseChange { user, node, here, revision } = &change;
            let ours = here.as_ref().is_some_and(|here| here.by == self.0.node);
            if *node == self.0.node && !ours {
                // Another node has marked this node's users as offline although this node is alive, so the entries are
                // written again.
                self.local().write_again(*user);
                self.0.has_changed.notify_one();
            }
            if ours && here.as_ref().is_some_and(|here| here.status == Status::Offline) {
                self.pending().is_over(*user, node.clone(), *revision);
            }
            let tipped = self.0.board.write().unwrap_or_else(PoisonError::into_inner).apply(change);
            if let Some(tipped) = tipped.filter(|_| ours) {
                self.pending().tip(tipped);
            }
            if ours {
                self.0.has_news.notify_one();
            }
        }
    }
}
