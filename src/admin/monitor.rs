//! Checks all parts once a second until the process ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use crate::{
    accounts::NodeNote,
    admin::{
        Health,
        database::{Database, PoolConnections},
        figures::Figures,
        lag::Heads,
        parts::{Facts, Lag, log_is_lost, recent, report},
        report::Report,
        status::{Sources, StreamStatus},
        watched::Watched,
    },
    domain::Position,
    log::{Peer, Survey, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
};

/// The interval at which the monitor checks the parts and sends the state of this node to the other nodes.
const LOOK: Duration = Duration::from_secs(1);
/// How long the state that another node has sent counts. A node sends it every second, and writes to Postgres every two
/// seconds.
const SAID: Duration = Duration::from_secs(3);
/// The time limit for sending a signal to the other nodes.
const TELL: Duration = Duration::from_millis(100);
/// Once views have lacked no more events than this, they no longer count as new.
const FEW: u64 = 10_000;

struct Monitor {
    parts: Watched,
    node: Uuid,
    survey: watch::Receiver<Option<Survey>>,
    /// The background task of this process that has failed.
    failed: watch::Receiver<Option<&'static str>>,
    database: Database,
    heads: Vec<Heads>,
    /// The other nodes that reach Postgres, each with the time at which it last said so.
    with_database: HashMap<String, Instant>,
    /// Since when the log has not answered; `None` while it answers.
    log_lost: Option<Instant>,
    /// The same for Postgres.
    database_lost: Option<Instant>,
    has_caught_up: bool,
    /// The positions of each stream and of its readers at the last check.
    streams: Vec<StreamStatus>,
    figures: Figures,
}

/// Starts the monitor, and returns after its first check of all parts.
pub(crate) async fn start(
    health: &Arc<Health>,
    parts: Watched,
    tasks: &Supervisor,
) -> Result<(), Unavailable> {
    let mut peers = parts.log.peers().await?;
    let mut survey = parts.log.survey(parts.clock.clone(), tasks);
    // The first check waits for a survey, so a request right after the start gets real observations.
    let _ = survey.wait_for(Option::is_some).await;
    let node = parts.clock.id(std::convert::identity);
    let database = Database::of(&parts.pool, node);
    let heads = (0..parts.log.layout().streams).map(|_| Heads::default()).collect();
    let with_database = HashMap::new();
    let mut monitor = Monitor {
        parts,
        node,
        survey,
        failed: health.failed.clone(),
        database,
        heads,
        with_database,
        log_lost: None,
        database_lost: None,
        has_caught_up: false,
        streams: Vec::new(),
        figures: Figures::default(),
    };
    let Watched { log, pool, roles, .. } = &monitor.parts;
    // A process starts its monitor once.
    let _ = health.sources.set(Sources { log: log.clone(), pool: pool.clone(), roles: roles.clone() });
    let first = monitor.look().await;
    health.streams.send_replace(monitor.streams.clone());
    health.report.send_replace(Some((Instant::now(), first)));

    let health = health.clone();
    tasks.spawn("monitor", async move {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let report = monitor.look().await;
                    health.streams.send_replace(monitor.streams.clone());
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

    async fn look(&mut self) -> Report {
        let now = Instant::now();
        let survey = self.survey.borrow().clone();
        let has_log = log_is_lost(survey.as_ref(), now).is_none();
        note_loss(&mut self.log_lost, !has_log, now);
        // Another node counts as reaching the log only if it last reached the log after this node lost it. An earlier
        // time would prove nothing, because the log may have failed for all nodes since. `SAID` is subtracted because
        // the state that another node reports can be that old.
        let lately = lost_for(self.log_lost, now).saturating_sub(SAID);
        let note = NodeNote { has_log, has_failed: self.failed.borrow().is_some() };
        let database = self.database.look(&self.parts.clock, note, lately).await;
        let now = Instant::now();
        note_loss(&mut self.database_lost, database.is_err(), now);
        self.tell(database.is_ok()).await;

        let others_have_log = !has_log && database.as_ref().is_ok_and(|seen| seen.others.with_log > 0);
        let lately = lost_for(self.database_lost, now).saturating_sub(SAID);
        self.with_database.retain(|_, said| now.duration_since(*said) < SAID.max(lately));
        let said_since = |said: &Instant| now.duration_since(*said) < lately;
        let others_have_database = database.is_err() && self.with_database.values().any(said_since);

        note_heads(&mut self.heads, survey.as_ref(), now);
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
        self.streams = (0..self.heads.len())
            .map(|stream| StreamStatus {
                last: survey
                    .as_ref()
                    .and_then(|survey| Some(survey.streams.get(stream)?.as_ref().ok()?.last)),
                views: database
                    .as_ref()
                    .ok()
                    .map(|seen| seen.views.get(&stream).copied().unwrap_or_default()),
                followed: followed[stream],
            })
            .collect();
        self.figures.tell(now, &self.parts, survey.as_ref(), database.as_ref().ok(), &self.heads);
        let is_building = self.is_building(&views_lag, survey.as_ref());
        let facts = Facts {
            now,
            survey,
            database,
            others_have_log,
            others_have_database,
            views_lag,
            hub_lag,
            is_building,
            replica: self.parts.views.standing(),
            connections: PoolConnections::of(&self.parts.pool),
            stopped: METRICS.stopped.get(),
            overload: self.parts.overload.level(),
        };
        let report = report(&facts);
        for part in &report.parts {
            METRICS.part_status.get_or_create(&[("part", part.name)]).set(part.status as i64);
        }
        report
    }

    /// Whether the views are new: they lack more than a tenth of the log, and this process has never seen them nearly
    /// complete. A node with such views would hide most of the history from its users, so it is not ready. After that,
    /// a lag is only reported, because the existing views are worth serving.
    fn is_building(&mut self, lags: &[Lag], survey: Option<&Survey>) -> bool {
        let Some(survey) = survey.filter(|_| !lags.is_empty()) else { return false };
        let all: u64 = survey.streams.iter().flatten().map(|seen| seen.last.0).sum();
        let missing: u64 = lags.iter().map(|(events, _)| events).sum();
        self.has_caught_up |= missing <= FEW;
        !self.has_caught_up && missing > all / 10
    }

    /// Tells the other nodes whether this node reaches Postgres. A signal that cannot be sent now is dropped, because
    /// the next check sends a newer one.
    async fn tell(&self, has_database: bool) {
        if self.parts.log.is_connected() {
            let peer = Peer { node: self.node.to_string(), has_database };
            let _ = timeout(TELL, self.parts.log.tell_peers(&peer)).await;
        }
    }
}

/// Records the last position of each stream that has answered lately, whatever the other streams do.
fn note_heads(heads: &mut [Heads], survey: Option<&Survey>, now: Instant) {
    let Some(survey) = recent(survey, now) else { return };
    for (heads, seen) in heads.iter_mut().zip(&survey.streams) {
        if let Ok(seen) = seen {
            heads.note(survey.at, seen.last);
        }
    }
}

fn note_loss(since: &mut Option<Instant>, is_lost: bool, now: Instant) {
    *since = is_lost.then(|| since.unwrap_or(now));
}

fn lost_for(since: Option<Instant>, now: Instant) -> Duration {
    since.map_or(Duration::ZERO, |since| now.duration_since(since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::parts::STALE, log::StreamSeen};

    #[test]
    fn a_stream_without_a_leader_does_not_freeze_the_lag_of_the_others() {
        let now = Instant::now();
        let leads = |last| {
            let stream = StreamSeen {
                last: Position(last),
                full: None,
                wanted: 1,
                current: 1,
                behind: vec![],
                has_majority: true,
                consumers: 0,
                hole: None,
            };
            Ok(stream)
        };
        let survey = Survey {
            at: now,
            is_connected: true,
            server: "verbatim-0".into(),
            answers: true,
            streams: vec![Err("it has no leader".into()), leads(7)],
            audit: leads(1),
            storage: Vec::new(),
            ahead: None,
            refusing: None,
        };
        let mut heads = [Heads::default(), Heads::default()];
        note_heads(&mut heads, Some(&survey), now + STALE);
        assert_eq!(heads[1].lag(now, Position(5)), (0, Duration::ZERO), "the survey is too old");
        note_heads(&mut heads, Some(&survey), now);
        let after = now + Duration::from_secs(20);
        assert_eq!(heads[1].lag(after, Position(5)), (2, Duration::from_secs(20)));
        assert_eq!(heads[0].lag(after, Position(5)), (0, Duration::ZERO));
    }
}
