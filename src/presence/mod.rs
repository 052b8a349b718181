//! Who is **here**: sessions, merged over nodes, and when a change of that is worth an event.
//!
//! Each node writes what it knows of a user into a bucket, and all nodes watch it in one order. The
//! node whose entry tips a user's status tells that user's conversations. A node lives as long as
//! it renews its lease; the entries of a dead one are written off by those that live.

mod board;
mod local;

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use uuid::Uuid;

pub use board::{Board, Tipped};

use crate::{
    auth,
    clock::Clock,
    domain::{Event, EventId, PresenceChanged, Status, Time, UserId},
    log::{Draft, Here, LEASE, Leases, Log, NodeId, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
    views,
};
use local::Local;

/// Sessions that begin, end and change faster than this task can take them wait here.
const QUEUE: usize = 65_536;
/// How often changed entries are written.
const TICK: Duration = Duration::from_millis(100);
/// How often the lease is renewed and the dead are looked for.
const RENEW: Duration = Duration::from_secs(4);

/// Who is here, for asking and for telling. Cheap to clone.
#[derive(Clone)]
pub struct Presence {
    board: Arc<RwLock<Board>>,
    news: mpsc::Sender<News>,
}

/// One session, as presence knows it.
pub type Session = Uuid;

/// What the gateway tells.
#[derive(Debug, Clone, Copy)]
enum News {
    Session { user: UserId, session: Session, status: Status },
}

/// The settings of presence.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A user who comes back within this time was never away.
    pub grace: Duration,
    /// The most conversations that are told of one change: those that moved last.
    pub fan_out: i64,
    /// A conversation with more members is not told: of n who come at once, each would be told of n.
    pub crowd: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), fan_out: 200, crowd: 500 }
    }
}

impl Presence {
    /// A user's status over all nodes.
    pub fn status(&self, user: UserId) -> Status {
        self.board.read().unwrap_or_else(PoisonError::into_inner).status(user)
    }

    /// Tells that a session is there, or has another status; `offline` when it has ended.
    pub fn tell(&self, user: UserId, session: Session, status: Status) {
        if self.news.try_send(News::Session { user, session, status }).is_err() {
            tracing::error!(%user, "presence cannot keep up: a session's change is lost");
        }
    }

    /// Starts watching and telling.
    pub async fn start(
        log: Log,
        pool: PgPool,
        clock: Clock,
        settings: Settings,
        tasks: &Supervisor,
    ) -> Result<Self, Unavailable> {
        let (news, received) = mpsc::channel(QUEUE);
        let board = Arc::<RwLock<Board>>::default();
        let leases = log.leases().await?;
        let node = NodeId::new();
        leases.renew(&node, 0).await?;
        let task = Task { log, pool, clock, settings, node, board: board.clone() };
        tasks.spawn("presence", async move { task.run(leases, received).await });
        Ok(Self { board, news })
    }
}

/// What the one task of presence knows.
#[derive(Clone)]
struct Task {
    log: Log,
    pool: PgPool,
    clock: Clock,
    settings: Settings,
    node: NodeId,
    board: Arc<RwLock<Board>>,
}

impl Task {
    async fn run(&self, leases: Leases, mut news: mpsc::Receiver<News>) {
        let mut local = Local::new(self.settings.grace);
        let mut changes = leases.changes();
        let mut connections = self.log.connections();
        let mut calm_since = Instant::now();
        let mut tick = interval(TICK);
        let mut renew = interval(RENEW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = news.recv() => {
                    let Some(News::Session { user, session, status }) = received else { return };
                    local.session(user, session, status, Instant::now());
                }
                _ = tick.tick(), if local.has_changed() => self.write(&leases, &mut local).await,
                // After an outage all leases are gone until their nodes have come back.
                _ = renew.tick() => match leases.renew(&self.node, open_sessions()).await {
                    Ok(()) if calm_since.elapsed() > LEASE => self.write_off_the_dead(&leases).await,
                    Ok(()) => {}
                    Err(e) => {
                        tracing::debug!(error = %e, "the lease is renewed later");
                        calm_since = Instant::now();
                    }
                },
                changed = connections.changed() => {
                    if changed.is_err() { return }
                    // The buckets are in memory: after an outage they may have forgotten us.
                    calm_since = Instant::now();
                    local.write_all_again();
                    renew.reset_immediately();
                }
                change = changes.next() => {
                    if change.node == self.node && change.here.as_ref().is_none_or(|here| here.by != self.node) {
                        // We were held to be dead: whoever is here is so all the same.
                        local.write_again(change.user);
                    }
                    let tipped = self.board.write().unwrap_or_else(PoisonError::into_inner).apply(change.clone());
                    let ours = change.here.as_ref().is_some_and(|here| here.by == self.node);
                    if let Some(tipped) = tipped.filter(|_| ours) {
                        let task = self.clone();
                        tokio::spawn(async move { task.announce(tipped).await });
                    }
                    let is_over = change.here.is_some_and(|here| here.status == Status::Offline);
                    if ours && is_over && let Err(e) = leases.clear(change.user, &change.node).await {
                        tracing::debug!(error = %e, "an entry that is over stays");
                    }
                }
            }
        }
    }

    async fn write(&self, leases: &Leases, local: &mut Local) {
        for write in local.due(Instant::now()) {
            let here = Here { status: write.status, at: self.clock.now(), by: self.node.clone() };
            if let Err(e) = leases.put(write.user, &self.node, &here).await {
                tracing::debug!(error = %e, "presence is written later");
                return;
            }
            local.wrote(write);
        }
    }

    /// Entries of nodes whose lease has run out: their users are not here any more.
    async fn write_off_the_dead(&self, leases: &Leases) {
        let Ok(alive) = leases.alive().await else { return };
        let dead: HashSet<(UserId, NodeId)> = {
            let board = self.board.read().unwrap_or_else(PoisonError::into_inner);
            let is_dead = |node: &NodeId| *node != self.node && !alive.contains(node);
            board.of_nodes(is_dead).map(|(user, node)| (user, node.clone())).collect()
        };
        for (user, node) in dead {
            let here = Here { status: Status::Offline, at: self.clock.now(), by: self.node.clone() };
            if leases.put(user, &node, &here).await.is_err() {
                return;
            }
        }
    }

    /// Tells the conversations of a user, those that moved last first.
    async fn announce(&self, tipped: Tipped) {
        let Tipped { user, status, at, .. } = tipped;
        if status == Status::Offline
            && let Err(e) = auth::saw(&self.pool, user, at).await
        {
            tracing::warn!(error = %e, %user, "when the user was last seen is not noted");
        }
        match views::latest_of(&self.pool, user, self.settings.fan_out, self.settings.crowd).await {
            Ok(conversations) => {
                let drafts =
                    conversations.into_iter().map(|conversation| self.draft(conversation, user, status, at));
                for draft in drafts {
                    if let Err(e) = self.log.append_presence(&draft).await {
                        tracing::debug!(error = %e, "a conversation is not told of a presence change");
                    }
                }
            }
            Err(e) => tracing::warn!(error = %e, %user, "whom to tell of a presence change is not known"),
        }
    }

    fn draft(
        &self,
        conversation: crate::domain::ConversationId,
        actor: UserId,
        status: Status,
        last_seen_at: Time,
    ) -> Draft {
        let event = Event::PresenceChanged(PresenceChanged { status, last_seen_at });
        let id = self.clock.id(EventId::known);
        Draft { conversation, id, actor, time: self.clock.now(), event, key: None, trace: None }
    }
}

fn open_sessions() -> u64 {
    METRICS.sessions.get().try_into().unwrap_or_default()
}
