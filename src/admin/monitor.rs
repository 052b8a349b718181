//! Looks at all parts once a second, for as long as the process lives.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use crate::{
    admin::{
        Health,
        database::Database,
        lag::Heads,
        parts::{Facts, Lag, log_is_lost, report},
        report::Report,
    },
    clock::Clock,
    domain::Position,
    live::Conversations,
    log::{Log, Peer, Survey, Unavailable},
    overload::Overload,
    supervise::Supervisor,
    telemetry::METRICS,
};

/// How often the parts are looked at, and other nodes told of this one.
const LOOK: Duration = Duration::from_secs(1);
/// What other nodes say holds for so long: they say it every second, and note it every other one.
const SAID: Duration = Duration::from_secs(3);
/// How long a signal may wait to be sent.
const TELL: Duration = Duration::from_millis(100);
/// So many events the views may lack while they are being built.
const FEW: u64 = 10_000;

/// The parts of a process that the monitor looks at.
pub(crate) struct Watched {
    /// The log.
    pub log: Log,
    /// Postgres.
    pub pool: PgPool,
    /// How far this process has followed the log.
    pub conversations: Conversations,
    /// How much is refused because there is too much to do.
    pub overload: Overload,
    /// The time.
    pub clock: Clock,
}

struct Monitor {
    parts: Watched,
    node: Uuid,
    survey: watch::Receiver<Option<Survey>>,
    database: Database,
    heads: Vec<Heads>,
    /// The nodes that reach Postgres, and when they last said so.
    with_database: HashMap<String, Instant>,
    /// Since when the log, and Postgres, have not answered.
    lost: [Option<Instant>; 2],
    has_caught_up: bool,
}

/// Starts looking; answers when everything has been looked at once.
pub(crate) async fn start(
    health: &Arc<Health>,
    parts: Watched,
    tasks: &Supervisor,
) -> Result<(), Unavailable> {
    let mut peers = parts.log.peers().await?;
    let mut survey = parts.log.survey(parts.clock.clone(), tasks);
    // A request right after the start gets a real observation, and not "not looked yet".
    let _ = survey.wait_for(Option::is_some).await;
    let node = parts.clock.id(std::convert::identity);
    let database = Database::of(&parts.pool, node);
    let heads = (0..parts.log.layout().streams).map(|_| Heads::default()).collect();
    let with_database = HashMap::new();
    let mut monitor = Monitor {
        parts,
        node,
        survey,
        database,
        heads,
        with_database,
        lost: [None; 2],
        has_caught_up: false,
    };
    let first = monitor.look().await;
    health.report.send_replace(Some((Instant::now(), first)));

    let health = health.clone();
    tasks.spawn("monitor", async move {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let report = monitor.look().await;
                    health.report.send_replace(Some((Instant::now(), report)));
                }
                heard = peers.next() => match heard {
                    Some(peer) => monitor.hear(peer),
                    None => return,
                },
            }
        }
    });
    Ok(())
}

impl Monitor {
    fn hear(&mut self, peer: Peer) {
        if peer.has_database && peer.node != self.node.to_string() {
            self.with_database.insert(peer.node, Instant::now());
        }
    }

    /// For how long something has been lost.
    fn lost_for(&self, which: usize, now: Instant) -> Duration {
        self.lost[which].map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    async fn look(&mut self) -> Report {
        let now = Instant::now();
        let survey = self.survey.borrow().clone();
        let has_log = log_is_lost(survey.as_ref(), now).is_none();
        note_loss(&mut self.lost[0], !has_log, now);
        // Another node reaches the log if it has had an answer since this one has none, and not just before.
        let lately = self.lost_for(0, now).saturating_sub(SAID);
        let database = self.database.look(&self.parts.clock, has_log, lately).await;
        let now = Instant::now();
        note_loss(&mut self.lost[1], database.is_err(), now);
        self.tell(database.is_ok()).await;

        let others_have_log = !has_log && database.as_ref().is_ok_and(|seen| seen.others.with_log > 0);
        let lately = self.lost_for(1, now).saturating_sub(SAID);
        self.with_database.retain(|_, said| now.duration_since(*said) < SAID.max(lately));
        let said_since = |said: &Instant| now.duration_since(*said) < lately;
        let others_have_database = database.is_err() && self.with_database.values().any(said_since);

        if let Some(survey) = survey.as_ref().filter(|_| has_log) {
            for (heads, seen) in self.heads.iter_mut().zip(&survey.streams) {
                if let Ok(seen) = seen {
                    heads.note(survey.at, seen.last);
                }
            }
        }
        let lags = |at: &dyn Fn(usize) -> Position| -> Vec<Lag> {
            self.heads.iter().enumerate().map(|(stream, heads)| heads.lag(now, at(stream))).collect()
        };
        let followed = self.parts.conversations.positions();
        let hub_lag = lags(&|stream| followed[stream]);
        let mut views_lag = Vec::new();
        if let Ok(seen) = &database {
            let views = |stream: usize| seen.views.get(&stream).copied().unwrap_or_default();
            views_lag = lags(&views);
            for (stream, heads) in self.heads.iter_mut().enumerate() {
                heads.forget(followed[stream].min(views(stream)));
            }
        }
        let is_building = self.is_building(&views_lag, survey.as_ref());
        let pool = &self.parts.pool;
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let facts = Facts {
            now,
            survey,
            database,
            others_have_log,
            others_have_database,
            views_lag,
            hub_lag,
            is_building,
            connections: [pool.size(), idle, pool.options().get_max_connections()],
            stopped: METRICS.stopped.get(),
            overload: self.parts.overload.level(),
        };
        let report = report(&facts);
        for part in &report.parts {
            METRICS.part_status.get_or_create(&[("part", part.name)]).set(part.status as i64);
        }
        report
    }

    /// Views that lack most of the log have not been seen whole by this process: they are new, and whoever
    /// is sent here sees next to nothing. Later a lag is told, but what is there is worth serving.
    fn is_building(&mut self, lags: &[Lag], survey: Option<&Survey>) -> bool {
        let Some(survey) = survey.filter(|_| !lags.is_empty()) else { return false };
        let all: u64 = survey.streams.iter().flatten().map(|seen| seen.last.0).sum();
        let missing: u64 = lags.iter().map(|(events, _)| events).sum();
        self.has_caught_up |= missing <= FEW;
        !self.has_caught_up && missing > all / 10
    }

    /// Tells the other nodes; what cannot be sent now is of no use later.
    async fn tell(&self, has_database: bool) {
        if self.parts.log.is_connected() {
            let peer = Peer { node: self.node.to_string(), has_database };
            let _ = timeout(TELL, self.parts.log.tell_peers(&peer)).await;
        }
    }
}

fn note_loss(since: &mut Option<Instant>, is_lost: bool, now: Instant) {
    *since = is_lost.then(|| since.unwrap_or(now));
}
