//! Sending events, and handling the results.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use crate::{
    domain::{Event, ReplayId},
    hooks::{DeliveryState, MadeDelivery},
    log::NotRead,
    telemetry::METRICS,
    views::{self, Sight},
    webhooks::{
        breaker::Permit,
        lane::{Failure, Key},
        owner::{BYTES, Done, Owner, Shared, within},
        request::{Outcome, Request, deliver},
        run::{Run, Step},
        sender::Sender,
        teller::part_of,
        told::Told,
    },
};

/// The most conversations that are read from the log at once.
const FETCHES: usize = 4;
/// The most events of a conversation that are read from the log at once.
const FETCHED: usize = 128;
/// When the progress could not be written for this long, nothing more is sent, because a takeover would send all of it
/// again.
const UNSAVED: Duration = Duration::from_secs(10);
/// The most attempts that wait to be written.
const ATTEMPTS: usize = 2_000;
/// The wait before the log or the views are read again for a conversation.
const PAUSE: Duration = Duration::from_secs(1);

impl Owner {
    /// Starts everything that is due and may be sent. Returns when more is due.
    pub(super) fn start(&mut self) -> Option<Instant> {
        let is_behind_with_saving = self.saved_at.elapsed() > UNSAVED;
        if self.disabling.is_some() || is_behind_with_saving {
            return None;
        }
        let now = Instant::now();
        match self.breaker.permit(now) {
            Permit::Nothing(until) => Some(until),
            Permit::Probe => self.probe(now),
            Permit::All => self.start_all(now),
        }
    }

    /// Sends one event, or reads it first. Returns when to try again if none can be read now.
    fn probe(&mut self, now: Instant) -> Option<Instant> {
        if !self.under_way.is_empty() {
            return None;
        }
        let probes: Vec<_> = self.runs.iter().map(|run| (run.id, run.probe(now))).collect();
        let found = probes.iter().find_map(|(run, probe)| Some((*run, probe.ok()?)));
        let Some((run, key)) = found else {
            return probes.iter().filter_map(|(_, probe)| probe.err()?).min();
        };
        let stream = self.shared.log.stream_of(key.0);
        let step = self.run_of(run).and_then(|run| run.step_of(key, stream));
        if step == Some(Step::Send) {
            self.breaker.probes(run, key);
        }
        if let Some(step) = step {
            self.launch(run, key, step);
        }
        None
    }

    fn start_all(&mut self, now: Instant) -> Option<Instant> {
        let mut wakes = None::<Instant>;
        let ids: Vec<_> = self.runs.iter().map(|run| run.id).collect();
        for id in ids {
            loop {
                if self.sending >= self.endpoint.concurrency {
                    // The end of a request wakes the owner.
                    return wakes;
                }
                let may_fetch = self.fetching < FETCHES && self.bytes < BYTES;
                let is_ordered = self.endpoint.is_ordered;
                let log = self.shared.log.clone();
                let Some(run) = self.run_of(id) else { break };
                let (found, next) = run.next(now, is_ordered, may_fetch, |id| log.stream_of(id));
                wakes = [wakes, next].into_iter().flatten().min();
                match found {
                    Some((key, step)) => self.launch(id, key, step),
                    None => break,
                }
            }
        }
        wakes
    }

    fn run_of(&mut self, id: Option<ReplayId>) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    fn launch(&mut self, id: Option<ReplayId>, key: Key, step: Step) {
        let Shared { sender, log, pool, .. } = self.shared.clone();
        let endpoint = self.endpoint.clone();
        let Some(lane) = self.run_of(id).and_then(|run| run.lanes.get_mut(&key)) else { return };
        lane.is_busy = true;
        match (step, lane.queue.front().cloned()) {
            (Step::Send, Some(told)) => {
                let (attempt, parked) = (lane.attempt + 1, lane.parked);
                self.sending += 1;
                // The event may have waited for a long time, and content that is erased by now must not be sent.
                let left = log.left_of(&told.recorded);
                let left = left.map(|recorded| Told { recorded, previous: told.previous });
                self.under_way.push(Box::pin(async move {
                    let left = match left {
                        Some(left) => Some(left),
                        None => match unexpired(&pool, &sender, &told).await {
                            Ok(left) => left,
                            Err(error) => {
                                tracing::debug!(%error, "could not check whether an event for a webhook has expired");
                                return Done::Deferred { run: id, key };
                            }
                        },
                    };
                    let request = Request {
                        id: told.recorded.id.to_string(),
                        body: left
                            .as_ref()
                            .unwrap_or(&told)
                            .body(sender.public_url.as_deref(), endpoint.is_thin),
                        attempt,
                        replay: id,
                        parked,
                    };
                    let outcome = deliver(&sender, &endpoint, request).await;
                    Done::Sent { run: id, key, told, attempt, outcome }
                }));
            }
            (Step::Fetch(after, upto), _) => {
                self.fetching += 1;
                self.under_way.push(Box::pin(async move {
                    Done::Fetched { run: id, key, batch: part_of(&log, key.0, after, upto, FETCHED).await }
                }));
            }
            (Step::Send, None) => lane.is_busy = false,
        }
    }

    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Sent { run, key, told, attempt, outcome } => {
                self.sending -= 1;
                self.sent(run, key, &told, attempt, outcome);
            }
            Done::Deferred { run, key } => {
                self.sending -= 1;
                self.deferred(run, key);
            }
            Done::Fetched { run, key, batch } => {
                self.fetching -= 1;
                let (endpoint, stream) = (self.endpoint.clone(), self.shared.log.stream_of(key.0));
                let Some(run) = self.run_of(run) else { return };
                match batch {
                    Ok(batch) => {
                        let bytes = run.fetched(key, &batch, &endpoint, stream);
                        self.bytes += bytes;
                    }
                    Err(error) => {
                        if let NotRead::Damaged(damaged) = &error {
                            tracing::error!(error = %damaged, webhook = %endpoint.id, "could not read a conversation for a webhook");
                        }
                        if let Some(lane) = run.lanes.get_mut(&key) {
                            (lane.is_busy, lane.reads_at) = (false, Some(Instant::now() + PAUSE));
                        }
                    }
                }
            }
        }
        self.end_replays();
    }

    fn sent(&mut self, run: Option<ReplayId>, key: Key, told: &Told, attempt: u32, outcome: Outcome) {
        let now = (Instant::now(), self.shared.sender.clock.now());
        let pace = self.shared.sender.pace.clone();
        let is_back = match outcome.fault {
            None => self.breaker.succeeded(),
            Some(fault) => self.breaker.failed((run, key), fault, &pace.retries, now),
        };
        if is_back {
            self.runs.iter_mut().for_each(Run::is_back);
        }
        let Some(lane) = self.run_of(run).and_then(|run| run.lanes.get_mut(&key)) else { return };
        lane.is_busy = false;
        let (state, mut free) = match outcome.fault {
            None => (DeliveryState::Ok, lane.taken()),
            Some(_) => {
                let retry = pace.retries.get(lane.attempt as usize).copied().unwrap_or_default();
                let wait = shaken(retry, told, attempt).max(outcome.pause.unwrap_or_default());
                match lane.failed(&pace.retries, wait, now) {
                    (Failure::Again, free) => (DeliveryState::Failed, free),
                    (Failure::Parked, free) => (DeliveryState::Parked, free),
                }
            }
        };
        let endpoint = self.endpoint.clone();
        if let Some(run) = self.run_of(run) {
            match outcome.fault {
                None => run.settle(key),
                // The filters may have changed while the event was in flight.
                Some(_) => free += run.keep_wanted(key, &endpoint),
            }
        }
        self.bytes = self.bytes.saturating_sub(free);
        if outcome.fault.is_some() {
            if let Some(pause) = outcome.pause {
                self.breaker.pause(now.0 + pause);
            }
            if outcome.is_gone {
                self.disabling = Some("gone");
            } else if self.breaker.is_hopeless(pace.disable_after, now.1) {
                self.disabling = Some("failing");
            }
        }
        METRICS.webhook_deliveries.get_or_create(&[("result", state.word())]).inc();
        self.note(run, told, attempt, state, outcome);
    }

    /// Sends an event later that was not sent, and lets another one be the probe.
    fn deferred(&mut self, of: Option<ReplayId>, key: Key) {
        self.breaker.was_not_sent((of, key));
        let endpoint = self.endpoint.clone();
        let Some(run) = self.run_of(of) else { return };
        if let Some(lane) = run.lanes.get_mut(&key) {
            (lane.is_busy, lane.reads_at) = (false, Some(Instant::now() + PAUSE));
        }
        // The filters may have changed meanwhile.
        let freed = run.keep_wanted(key, &endpoint);
        self.bytes = self.bytes.saturating_sub(freed);
    }

    fn note(
        &mut self,
        replay: Option<ReplayId>,
        told: &Told,
        attempt: u32,
        state: DeliveryState,
        outcome: Outcome,
    ) {
        let is_full = self.deliveries.len() >= ATTEMPTS;
        let oldest = || self.deliveries.iter().position(|made| made.state != DeliveryState::Parked);
        if let Some(at) = oldest().filter(|_| is_full) {
            self.deliveries.remove(at);
        }
        let Outcome { at, took_ms, status, error, response, .. } = outcome;
        self.deliveries.push(MadeDelivery {
            event: told.recorded.id,
            conversation: told.recorded.conversation,
            position: told.recorded.position,
            replay,
            attempt,
            at,
            took_ms,
            status,
            error: error.map(str::to_owned),
            response,
            state,
        });
    }

    pub(super) fn end_replays(&mut self) {
        let (over, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.runs).into_iter().partition(Run::is_over);
        self.runs = rest;
        self.ended.extend(over.into_iter().filter_map(|run| run.id));
    }
}

/// A wait that is up to a tenth longer or shorter, so that events that failed together are not retried together. The id
/// of the event is random enough for that.
fn shaken(wait: Duration, told: &Told, attempt: u32) -> Duration {
    let random = told.recorded.id.uuid().as_bytes()[15].wrapping_add((attempt * 83) as u8);
    wait.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}

/// What is sent of an event whose message is by now older than the retention of its conversation; `None` to send the
/// event as it is.
async fn unexpired(pool: &PgPool, sender: &Sender, told: &Told) -> Result<Option<Told>, sqlx::Error> {
    let Told { recorded, previous } = told;
    let message = match recorded.event.as_ref() {
        Some(Event::MessageSent(_)) => recorded.position,
        Some(Event::MessageEdited(edited)) => edited.message_position,
        _ => return Ok(None),
    };
    let (rules, conversation) = (sender.retention, recorded.conversation);
    // An edit is younger than its message, and only the views know the time of the message.
    let is_edit = message != recorded.position;
    if !is_edit && sender.clock.now().since(recorded.time) < Duration::from_secs(rules.least) {
        return Ok(None);
    }
    let sights = within(views::sights(pool, rules, conversation, &[message])).await?;
    let is_expired = sights.get(&message) == Some(&Sight::Expired);
    Ok(is_expired.then(|| Told { recorded: recorded.without_text(), previous: *previous }))
}
