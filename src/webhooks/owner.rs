//! Sending the events of one endpoint, for as long as this node owns it.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use crate::{
    accounts::{By, Stamp},
    domain::{Position, ReplayId, Time},
    hooks::{
        Changes, EndpointProgress, HookError, MadeDelivery, Saved, StoredEndpoint, deliveries, endpoints,
        progress,
    },
    log::{Log, NotRead},
    telemetry::METRICS,
    webhooks::{
        breaker::Breaker,
        endpoint::Endpoint,
        lane::{Key, Lane},
        reading::Readers,
        request::Outcome,
        ring::Ring,
        run::{Read, Run},
        saving::Unsaved,
        sender::Sender,
        teller::Batch,
        told::Told,
    },
};

/// The most bytes of events in memory for one endpoint. Events beyond that are only in the log.
pub(super) const BYTES: usize = 8 << 20;
/// The most events that are taken from the ring at once.
const TAKEN: usize = 500;
/// How often the progress is written.
const SAVE: Duration = Duration::from_secs(1);
/// Every how many saves old deliveries are removed.
const PRUNE: u32 = 60;
/// How long requests in flight may take when the owner ends.
const FINISH: Duration = Duration::from_secs(2);
/// How long Postgres may take. Meanwhile, the owner handles no results and does not hear the keeper.
const ANSWER: Duration = Duration::from_secs(5);

/// What the keeper tells an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    /// The last change of the endpoint.
    pub(super) version: i64,
    /// Whether to end.
    pub(super) is_over: bool,
}

/// Why an owner has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The keeper told it to stop.
    Stopped,
    /// Another node owns the endpoint, the endpoint has changed so that it has to be taken over again, or it is gone.
    NotOurs,
    /// It has disabled the endpoint.
    Disabled,
}

/// The parts that all owners of a node share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) sender: Sender,
    pub(super) log: Log,
    pub(super) pool: PgPool,
    pub(super) ring: Ring,
}

/// The result of work that was in flight.
pub(super) enum Done {
    Sent {
        run: Option<ReplayId>,
        key: Key,
        told: Arc<Told>,
        attempt: u32,
        outcome: Outcome,
    },
    /// The event was not sent, because it is unknown whether it has expired.
    Deferred {
        run: Option<ReplayId>,
        key: Key,
    },
    Fetched {
        run: Option<ReplayId>,
        key: Key,
        batch: Result<Batch, NotRead>,
    },
}

/// Asks Postgres, and fails if it does not answer in time. Its own time limits do not help against a server that is frozen
/// or cut off.
pub(super) async fn within<T, E: From<sqlx::Error>>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(sqlx::Error::from(late()).into()))
}

pub(super) struct Owner {
    pub(super) shared: Shared,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) fence: i64,
    pub(super) version: i64,
    pub(super) runs: Vec<Run>,
    pub(super) breaker: Breaker,
    pub(super) bytes: usize,
    pub(super) under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(super) sending: usize,
    pub(super) fetching: usize,
    pub(super) readers: Readers,
    pub(super) deliveries: Vec<MadeDelivery>,
    pub(super) ended: Vec<ReplayId>,
    pub(super) saved_failing: (Option<Time>, u32),
    pub(super) saved_at: Instant,
    pub(super) disabling: Option<&'static str>,
    pub(super) looks: u32,
}

impl Owner {
    pub(super) fn new(
        shared: Shared,
        stored: &StoredEndpoint,
        endpoint: Endpoint,
        progress: EndpointProgress,
    ) -> Self {
        let readers = Readers::new(&shared.log);
        let failing = (stored.failing_since, stored.failures);
        let mut owner = Self {
            shared,
            endpoint: Arc::new(endpoint),
            fence: stored.fence,
            version: stored.version,
            runs: vec![Run::new(None)],
            breaker: Breaker::known(failing.0, failing.1),
            bytes: 0,
            under_way: FuturesUnordered::new(),
            sending: 0,
            fetching: 0,
            readers,
            deliveries: Vec::new(),
            ended: Vec::new(),
            saved_failing: failing,
            saved_at: Instant::now(),
            disabling: None,
            looks: 0,
        };
        owner.take_up(&progress, true);
        owner
    }

    /// Adds the stored runs that are not known yet.
    fn take_up(&mut self, progress: &EndpointProgress, is_first: bool) {
        let now = (Instant::now(), self.shared.sender.clock.now());
        let known: Vec<_> = self.runs.iter().map(|run| run.id).collect();
        self.runs.extend(
            progress.replays.iter().map(|id| Some(*id)).filter(|id| !known.contains(id)).map(Run::new),
        );
        for run in self.runs.iter_mut().filter(|run| is_first || !known.contains(&run.id)) {
            let id = run.id;
            for cursor in progress.cursors.iter().filter(|cursor| cursor.run == id) {
                let read = Read { at: cursor.position, until: cursor.until, saved: cursor.position };
                run.streams.insert(cursor.stream, read);
            }
            for held in progress.held.iter().filter(|held| held.run == id) {
                run.hold(*held, now);
            }
        }
    }

    /// Sends events until the node no longer owns the endpoint.
    pub(super) async fn run(mut self, mut told: watch::Receiver<Word>) -> End {
        let mut look = interval(SAVE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.shared.ring.changes();
        let end = loop {
            self.read();
            let wakes = self.start();
            let may_read = self.may_read();
            tokio::select! {
                Some(done) = self.under_way.next() => self.finish(done),
                (of, batch) = self.readers.next(), if may_read => self.arrived(of, &batch),
                _ = changes.changed(), if may_read => {}
                () = sleep_until(wakes.unwrap_or_else(|| Instant::now() + SAVE)) => {}
                _ = look.tick() => match self.look().await {
                    Some(end) => break end,
                    None => continue,
                },
                heard = told.changed() => {
                    let now = *told.borrow_and_update();
                    if heard.is_err() || now.is_over {
                        break End::Stopped;
                    }
                    if now.version != self.version && !self.reload().await {
                        break End::NotOurs;
                    }
                }
            }
        };
        if end == End::Stopped {
            let finishing = async {
                while let Some(done) = self.under_way.next().await {
                    self.finish(done);
                }
            };
            let _ = timeout(FINISH, finishing).await;
            let _ = self.save().await;
        }
        end
    }

    /// Whether more may be read from the log. A receiver that is away first gets the events in memory. Lanes that only
    /// remember a parked event have none: without a new event there would never be a probe again.
    fn may_read(&mut self) -> bool {
        let has_none = || self.runs.iter().all(|run| run.lanes.values().all(Lane::is_idle));
        self.disabling.is_none()
            && (!self.breaker.is_open() || has_none())
            && self.runs.iter_mut().all(Run::has_room)
    }

    /// Takes new events from the ring, and starts a reader for each stream that lags behind the ring.
    fn read(&mut self) {
        if !self.may_read() {
            return;
        }
        let (ring, endpoint) = (self.shared.ring.clone(), self.endpoint.clone());
        for run in &mut self.runs {
            let streams: Vec<(usize, Position)> = run
                .streams
                .iter()
                .filter(|(_, read)| read.until.is_none_or(|until| read.at < until))
                .map(|(stream, read)| (*stream, read.at))
                .collect();
            for (stream, at) in streams {
                match ring.after(stream, at, TAKEN) {
                    Some(batch) => {
                        self.readers.end((run.id, stream));
                        let room = BYTES.saturating_sub(self.bytes);
                        self.bytes += run.arrive(stream, &batch, &endpoint, room);
                    }
                    None if ring.end(stream).is_some() => self.readers.start((run.id, stream), at),
                    None => {}
                }
            }
        }
    }

    fn arrived(&mut self, of: (Option<ReplayId>, usize), batch: &Batch) {
        let endpoint = self.endpoint.clone();
        let room = BYTES.saturating_sub(self.bytes);
        let Some(run) = self.runs.iter_mut().find(|run| run.id == of.0) else { return self.readers.end(of) };
        self.bytes += run.arrive(of.1, batch, &endpoint, room);
        let is_over =
            run.streams.get(&of.1).is_none_or(|read| read.until.is_some_and(|until| read.at >= until));
        if is_over {
            self.readers.end(of);
        }
    }

    /// Runs once a second: writes the progress, and disables the endpoint if that is due.
    async fn look(&mut self) -> Option<End> {
        self.end_replays();
        self.tell_lag();
        self.looks += 1;
        let (pool, id) = (self.shared.pool.clone(), self.endpoint.id);
        if self.looks.is_multiple_of(PRUNE) {
            let pruning = deliveries::prune(&pool, id, self.shared.sender.clock.now());
            let _ = within(pruning).await;
        }
        match self.save().await {
            Ok(Saved::Yes) => {}
            Ok(Saved::NotOurs) => return Some(End::NotOurs),
            Err(error) => {
                tracing::warn!(%error, webhook = %id, "could not store the progress of a webhook; retrying");
                return None;
            }
        }
        let reason = self.disabling?;
        let stamp = Stamp::now(&self.shared.sender.clock, By::default());
        match within(endpoints::disable(&pool, id, reason, Some(self.fence), stamp)).await {
            Ok(stored) if stored.fence != self.fence => Some(End::NotOurs),
            Err(HookError::NotFound) => Some(End::NotOurs),
            Ok(stored) => {
                // An operator may have disabled it before. So may an attempt of this owner whose answer was late.
                if let Some(disabled) = stored.disabled.filter(|disabled| disabled.reason != "operator") {
                    let reason = disabled.reason;
                    tracing::warn!(webhook = %id, reason, "disabled a webhook: its receiver failed");
                }
                Some(End::Disabled)
            }
            Err(error) => {
                tracing::warn!(%error, webhook = %id, "could not disable a webhook; retrying");
                None
            }
        }
    }

    async fn save(&mut self) -> Result<Saved, sqlx::Error> {
        let (log, now) = (self.shared.log.clone(), self.shared.sender.clock.now());
        let failing = (self.breaker.failing_since, self.breaker.failures);
        let mut changes = Changes { failing, ..Changes::default() };
        let unsaved: Vec<_> =
            self.runs.iter().map(|run| Unsaved::of(run, |id| log.stream_of(id), now)).collect();
        let is_nothing = unsaved.iter().all(Unsaved::is_nothing)
            && self.deliveries.is_empty()
            && self.ended.is_empty()
            && failing == self.saved_failing;
        if is_nothing {
            self.saved_at = Instant::now();
            return Ok(Saved::Yes);
        }
        for (unsaved, run) in unsaved.iter().zip(&self.runs) {
            unsaved.add_to(run, &mut changes);
        }
        changes.ended.clone_from(&self.ended);
        changes.deliveries.clone_from(&self.deliveries);
        let saved = within(progress::save(&self.shared.pool, self.endpoint.id, self.fence, &changes)).await?;
        if saved == Saved::Yes {
            for (unsaved, run) in unsaved.into_iter().zip(&mut self.runs) {
                unsaved.note_in(run);
            }
            self.ended.clear();
            self.deliveries.clear();
            (self.saved_failing, self.saved_at) = (failing, Instant::now());
        }
        Ok(saved)
    }

    /// Reads the endpoint and its replays again; `false` if the node has to take it over again.
    async fn reload(&mut self) -> bool {
        let (pool, id) = (self.shared.pool.clone(), self.endpoint.id);
        let sender = self.shared.sender.clone();
        let loading = async { Ok((endpoints::find(&pool, id).await?, progress::load(&pool, id).await?)) };
        let loaded: Result<_, sqlx::Error> = within(loading).await;
        let Ok((Some(stored), progress)) = loaded else { return false };
        // Ordered and unordered endpoints have different keys for their lanes.
        if stored.fence != self.fence || stored.is_ordered != self.endpoint.is_ordered {
            return false;
        }
        let Ok(endpoint) = Endpoint::open(&stored, &sender) else { return false };
        self.change(endpoint);
        self.version = stored.version;
        let unknown = |id: &ReplayId| !self.ended.contains(id);
        let replays = progress.replays.iter().copied().filter(unknown).collect();
        self.take_up(&EndpointProgress { replays, ..progress }, false);
        true
    }

    /// Applies changed settings to the events that wait, too. Failures say nothing about a receiver at another address,
    /// or one that gets other headers.
    fn change(&mut self, endpoint: Endpoint) {
        if endpoint.target != self.endpoint.target || endpoint.headers != self.endpoint.headers {
            self.breaker = Breaker::default();
            self.runs.iter_mut().for_each(Run::is_back);
        }
        for run in &mut self.runs {
            let keys: Vec<Key> = run.lanes.keys().copied().collect();
            let freed: usize = keys.into_iter().map(|key| run.keep_wanted(key, &endpoint)).sum();
            self.bytes = self.bytes.saturating_sub(freed);
        }
        self.endpoint = Arc::new(endpoint);
    }

    fn tell_lag(&self) {
        let Some(run) = self.runs.iter().find(|run| run.id.is_none()) else { return };
        let missing = |(stream, read): (&usize, &Read)| {
            let end = self.shared.ring.end(*stream).unwrap_or(read.at);
            end.0.saturating_sub(read.saved.0)
        };
        let events: u64 = run.streams.iter().map(missing).sum();
        let now = self.shared.sender.clock.now();
        let since = run.lanes.values().filter_map(Lane::waits_since).min();
        let seconds = since.map_or(0, |since| now.since(since).as_secs());
        let label = [("webhook", self.endpoint.id.to_string())];
        METRICS.webhook_lag_events.get_or_create(&label).set(events.cast_signed());
        METRICS.webhook_lag_seconds.get_or_create(&label).set(seconds.cast_signed());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let label = [("webhook", self.endpoint.id.to_string())];
        METRICS.webhook_lag_events.remove(&label);
        METRICS.webhook_lag_seconds.remove(&label);
    }
}
