//! Following a stream: every event, in order, none twice. The positions of a stream have no holes. So a follower
//! compares each position with the expected one, reads again when they differ, and stops loudly when the stream itself
//! has a hole that no erasure explains.

use std::{pin::Pin, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{DeliverPolicy, push},
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout_at},
};

use crate::{
    domain::{Event, Position, Recorded, Time},
    log::{
        Damaged, Log, Unavailable,
        envelope::TRACE,
        memory::{age::Signs, known::Known, tail::Tail},
        read::silence::Silence,
        streams::layout,
    },
    telemetry::{METRICS, traces},
};

/// The most events of a batch.
const MAX_BATCH: usize = 500;
/// The most bytes of data in a batch, give or take an event.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// The longest run of erased positions that is added to a batch at once.
const MOST_ERASED: usize = 5_000;
/// How often a hole is read again before it is believed.
const ATTEMPTS: u32 = 3;
/// How long to wait before reading again.
const PAUSE: Duration = Duration::from_millis(250);
/// A presence change that is older than this is stale.
const STALE_PRESENCE: Duration = Duration::from_secs(60);

/// A reader of one whole stream. A consumer that has failed once is never polled again: async-nats would panic.
pub struct StreamFollower {
    log: Log,
    index: usize,
    stream: String,
    known: Known,
    tail: Tail,
    signs: Signs,
    leads: bool,
    messages: Option<Messages>,
    making: Option<Making>,
    last: Position,
    failures: u32,
    silence: Silence,
    /// The question to the leader why nothing arrives. It is a task, so that it goes on when a wait is cancelled.
    asking: Option<JoinHandle<Result<Option<Damaged>, Unavailable>>>,
    /// Whether a hole was found that nothing explains, and the leader has not been asked since.
    is_puzzled: bool,
}

/// A reader of the presence changes from now on.
pub struct PresenceFollower {
    log: Log,
    messages: Option<Messages>,
    making: Option<Making>,
    /// The stream is in memory: after a reconnect it may be a new one, whose positions start over, and a consumer that
    /// continues after an old position would wait for ever.
    connections: watch::Receiver<u64>,
}

pub(in crate::log) type Messages = Pin<Box<push::Ordered>>;

/// A consumer that is being created. It is kept when a wait for it is cancelled; otherwise each cancelled wait would
/// leave a consumer behind.
pub(in crate::log) type Making = BoxFuture<'static, Result<Messages, Unavailable>>;

impl Log {
    /// Follows a stream after a position. Events that the leading follower of this process has just read are taken from
    /// its tail.
    pub fn follow(&self, stream: usize, after: Position) -> StreamFollower {
        self.follower(stream, after, false)
    }

    /// The same as the leading follower: it reads directly from the servers, and others read from its tail.
    pub fn lead(&self, stream: usize, after: Position) -> StreamFollower {
        self.follower(stream, after, true)
    }

    fn follower(&self, stream: usize, after: Position, leads: bool) -> StreamFollower {
        if leads {
            self.signs.followed(stream, after);
        }
        StreamFollower {
            log: self.clone(),
            index: stream,
            stream: layout::name(stream),
            known: self.known[stream].clone(),
            tail: self.tails[stream].clone(),
            signs: self.signs.clone(),
            leads,
            messages: None,
            making: None,
            last: after,
            failures: 0,
            silence: Silence::begin(),
            asking: None,
            is_puzzled: false,
        }
    }

    /// Follows the presence changes from now on. A change may be lost: the board is the source of truth about presence.
    pub fn follow_presence(&self) -> PresenceFollower {
        PresenceFollower { log: self.clone(), messages: None, making: None, connections: self.connections() }
    }

    /// Creates a consumer. A failure includes a pause, which sets the pace of the retries.
    pub(in crate::log) fn making(&self, stream: &str, deliver_policy: DeliverPolicy) -> Making {
        let (log, stream) = (self.clone(), stream.to_owned());
        let make = async move {
            let made = log.consume(&stream, deliver_policy).await;
            if let Err(e) = &made {
                tracing::debug!(error = %e, stream, "cannot follow the stream yet");
                sleep(PAUSE).await;
            }
            made
        };
        make.boxed()
    }

    /// Creates a consumer of a whole stream.
    pub(in crate::log) async fn consume(
        &self,
        stream: &str,
        deliver_policy: DeliverPolicy,
    ) -> Result<Messages, Unavailable> {
        let stream = self.jetstream.get_stream(stream).await.map_err(Unavailable::because)?;
        let config = push::OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy,
            ..push::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(Unavailable::because)?;
        Ok(Box::pin(consumer.messages().await.map_err(Unavailable::because)?))
    }
}

impl StreamFollower {
    /// The last position that was handed over.
    pub fn last(&self) -> Position {
        self.last
    }

    /// Waits for events and takes all that are available, up to about 500; the skeletons of a run of erased positions
    /// come on top. Safe to cancel. An outage of the log is waited out; it is not an error.
    pub async fn batch(&mut self) -> Result<Vec<Recorded>, Damaged> {
        loop {
            if let Some(batch) = self.of_tail().await {
                return Ok(batch);
            }
            if self.is_puzzled {
                if let Err(e) = self.log.learn_erasures(self.index).await {
                    tracing::debug!(error = %e, stream = self.stream, "cannot read the list of erasures");
                }
                self.is_puzzled = false;
            }
            let Some(messages) = &mut self.messages else {
                self.start().await;
                continue;
            };
            let Ok(first) = timeout_at(self.silence.look(), messages.next()).await else {
                self.look_why_nothing_comes().await?;
                continue;
            };
            (self.silence, self.asking) = (Silence::begin(), None);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Some(Ok(message)) => match self.take(&message, &mut batch) {
                        Ok(true) => bytes += message.payload.len(),
                        Ok(false) => break,
                        // The events before the damage are good, and are handed over first.
                        Err(_) if !batch.is_empty() => {
                            self.messages = None;
                            break;
                        }
                        Err(damaged) => return Err(damaged),
                    },
                    other => {
                        tracing::debug!(?other, stream = self.stream, "recreating the consumer");
                        self.messages = None;
                    }
                }
                next = match &mut self.messages {
                    Some(messages) if batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES => {
                        messages.next().now_or_never()
                    }
                    _ => None,
                };
            }
            let is_there = |recorded: &&Recorded| recorded.has_conversation() && recorded.erased.is_none();
            if let Some(last) = batch.iter().rfind(is_there) {
                self.known.note(last.position, last.conversation);
            }
            if !batch.is_empty() {
                if self.leads {
                    self.tail.extend(&batch);
                    self.signs.followed(self.index, self.last);
                }
                return Ok(batch);
            }
            if self.failures > 0 || self.messages.is_none() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Waits for events of the leading follower; `None` if there is none, or if this follower has not come as far.
    async fn of_tail(&mut self) -> Option<Vec<Recorded>> {
        while !self.leads {
            let batch = self.tail.after(self.last, MAX_BATCH)?;
            (self.messages, self.making, self.asking) = (None, None, None);
            match batch.last() {
                Some(last) => {
                    self.last = last.position;
                    return Some(batch);
                }
                None => self.tail.moved(self.last).await,
            }
        }
        None
    }

    async fn start(&mut self) {
        if let Err(e) = self.log.know_erasures(self.index).await {
            tracing::debug!(error = %e, stream = self.stream, "cannot read the list of erasures yet");
            return sleep(PAUSE).await;
        }
        let from = DeliverPolicy::ByStartSequence { start_sequence: self.last.0 + 1 };
        self.messages = made(&mut self.making, || self.log.making(&self.stream, from)).await;
        self.silence.has_new_consumer();
    }

    /// The only sign of a consumer whose server is lost is an event that is stored and does not arrive.
    async fn look_why_nothing_comes(&mut self) -> Result<(), Damaged> {
        if self.silence.is_long() {
            return self.ask_why_nothing_comes().await;
        }
        let lacks_some = self.leads && self.signs.lacks_some(self.index);
        if self.silence.looked(lacks_some) {
            tracing::debug!(stream = self.stream, "the consumer delivers nothing; recreating it");
            self.messages = None;
        }
        Ok(())
    }

    /// The only sign of an event that is missing at the end of a stream is that it does not arrive. So the leader is
    /// asked.
    async fn ask_why_nothing_comes(&mut self) -> Result<(), Damaged> {
        let (log, index, last) = (self.log.clone(), self.index, self.last);
        let ask = async move { log.damage(index, last, Position(last.0 + 1)).await };
        let damaged = self.asking.get_or_insert_with(|| tokio::spawn(ask)).await;
        (self.silence, self.asking) = (Silence::begin(), None);
        match damaged {
            Ok(Ok(Some(damaged))) => Err(damaged),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            _ => Ok(()),
        }
    }

    /// Adds the event to a batch, if it is the next one, possibly after erased positions; otherwise the consumer starts
    /// again from the expected position. Returns whether the next message may be taken.
    fn take(&mut self, message: &Message, batch: &mut Vec<Recorded>) -> Result<bool, Damaged> {
        let damaged = |last, why: String| Damaged { stream: self.stream.clone(), last, why };
        let position = message.info().map_err(|e| damaged(self.last, e.to_string()))?.stream_sequence;
        let erased = self.log.erased(self.index);
        if position > self.last.0 + 1
            && let Some(skeletons) = erased.all_between(self.last, Position(position), MOST_ERASED)
        {
            self.last = skeletons.last().map_or(self.last, |last| last.position);
            batch.extend(skeletons);
            if position > self.last.0 + 1 {
                self.messages = None;
                return Ok(false);
            }
        }
        if position != self.last.0 + 1 {
            self.messages = None;
            if position > self.last.0 {
                self.is_puzzled = true;
                METRICS.holes.inc();
                self.failures += 1;
                if self.failures > ATTEMPTS {
                    return Err(damaged(self.last, format!("the next event is at {position}")));
                }
            }
            return Ok(false);
        }
        let (headers, payload) = (message.headers.as_ref(), message.payload.clone());
        let recorded = Recorded::read_or_poison(position, &message.subject, headers, payload);
        if let Some(why) = &recorded.poison {
            METRICS.poison.inc();
            tracing::error!(%position, subject = %message.subject, why, "could not read an event; skipped it");
        }
        // Only the leading follower notes it: others in this process read the same event from its tail.
        if traces::are_recorded()
            && self.leads
            && let Some(trace) = headers.and_then(|all| all.get(TRACE.clone()))
        {
            traces::arrived(self.index, position, recorded.lane.word(), trace.as_str());
        }
        self.last = recorded.position;
        self.failures = 0;
        self.log.heard(self.index, &recorded);
        batch.push(self.log.erased(self.index).told(recorded));
        Ok(true)
    }
}

impl Drop for StreamFollower {
    fn drop(&mut self) {
        if self.leads {
            self.tail.end();
        }
    }
}

impl PresenceFollower {
    /// The next presence changes. Safe to cancel.
    pub async fn batch(&mut self, now: impl Fn() -> Time) -> Vec<Recorded> {
        loop {
            let Some(messages) = &mut self.messages else {
                let making = || self.log.making(layout::PRESENCE, DeliverPolicy::New);
                self.messages = made(&mut self.making, making).await;
                continue;
            };
            let mut batch = Vec::new();
            let mut next = tokio::select! {
                message = messages.next() => Some(message),
                _ = self.connections.changed() => {
                    self.messages = None;
                    continue;
                }
            };
            while let Some(item) = next {
                match item {
                    Some(Ok(message)) => batch.extend(fresh(&message, now())),
                    other => {
                        tracing::debug!(?other, "recreating the presence consumer");
                        self.messages = None;
                        break;
                    }
                }
                next = if batch.len() < MAX_BATCH { messages.next().now_or_never() } else { None };
            }
            if !batch.is_empty() {
                return batch;
            }
        }
    }
}

/// Waits for a consumer that is being created, or begins to create one; `None` if that fails. Safe to cancel.
pub(in crate::log) async fn made(
    making: &mut Option<Making>,
    begin: impl FnOnce() -> Making,
) -> Option<Messages> {
    let made = making.get_or_insert_with(begin).await;
    *making = None;
    made.ok()
}

/// After a reconnect the consumer may begin with old changes, which are stale.
fn fresh(message: &Message, now: Time) -> Option<Recorded> {
    let position = message.info().ok()?.stream_sequence;
    let recorded =
        Recorded::read(position, &message.subject, message.headers.as_ref(), message.payload.clone());
    match recorded {
        Ok(recorded) if matches!(recorded.event, Some(Event::PresenceChanged(_))) => {
            (now.since(recorded.time) < STALE_PRESENCE).then_some(recorded)
        }
        Ok(_) => None,
        Err(e) => {
            tracing::warn!(error = %e, "could not read a presence change; ignored it");
            None
        }
    }
}
