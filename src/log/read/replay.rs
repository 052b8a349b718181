//! Replays: the events of some conversations, read again with a short-lived consumer. The reader requests page after
//! page, so no event is read before the reader wants it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::Message;
use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    domain::{ConversationId, Position, Recorded},
    log::{
        Damaged, Log, NotRead, Unavailable,
        memory::places::Place,
        read::{
            consumers::{Reading, ShortLived},
            explained::spliced,
        },
        subject,
    },
};

/// The most events of a page. Answers to live traffic queue behind them on the same connection.
pub const PAGE: usize = 200;
/// The most bytes of a page.
pub(crate) const PAGE_BYTES: usize = 1 << 20;
/// The longest wait for a page.
const PAGE_WITHIN: Duration = Duration::from_secs(5);
/// The wait before a consumer is asked again. The servers may not know a new consumer yet, and it may live on a server
/// that lags.
const PAUSE: Duration = Duration::from_millis(20);
/// A consumer that delivers nothing for this long is replaced by another one, on any server.
const STALLED: Duration = Duration::from_secs(1);
/// The longest rest between two pages.
const LONGEST_REST: Duration = Duration::from_millis(50);
/// How many events are read before other work gets the thread.
const IN_A_ROW: usize = 32;
/// With more conversations than this, the whole stream is read and filtered here, because the server compares each
/// event with every filter.
const MAX_FILTERS: usize = 300;

/// The events of some conversations of one stream, page by page. The consumer is deleted with the replay.
pub struct Replay {
    log: Log,
    reading: Reading,
    place: Arc<Place>,
    consumer: Option<ShortLived>,
    /// How many events the consumer has delivered. Its sequence numbers have no holes, so a lost message shows.
    given: u64,
    /// How many events the consumer still has to deliver, by its own report.
    pending: u64,
    /// An event that is known to be stored. It is read as well: the consumer may live on a server that lags, and until
    /// this event has arrived, the replay is not complete.
    until: Position,
    /// The conversations of the replay.
    conversations: HashSet<ConversationId>,
    upto: Position,
    /// Up to this position no event of the replay is missing.
    whole: Position,
    /// The damage after that position.
    damaged: Option<Damaged>,
    /// When the last page was requested.
    asked: Option<Instant>,
    /// Whether all events have been read.
    is_over: bool,
    /// Events that were read and not handed over yet: skeletons make a page longer.
    rest: VecDeque<Recorded>,
    /// Up to this position the skeletons were handed over, or are in `rest`.
    spliced: Position,
    /// Whether an erased event that the log still has is handed over as it is stored.
    has_kept: bool,
}

impl Log {
    /// Replays the events of conversations of a stream after `after`, up to and including `upto`.
    pub async fn replay(
        &self,
        stream: usize,
        after: Position,
        upto: Position,
        conversations: &[ConversationId],
    ) -> Result<Replay, Unavailable> {
        let place = self.places.take().await?;
        let until = self.known[stream].latest().filter(|latest| latest.position > after);
        let subjects = if conversations.len() > MAX_FILTERS {
            HashSet::new()
        } else {
            // The filters of a consumer must not overlap, so the known conversation is in the same set.
            let known = until.iter().map(|latest| latest.conversation);
            conversations.iter().copied().chain(known).map(subject::all_lanes).collect()
        };
        Ok(Replay {
            log: self.clone(),
            reading: Reading { stream, after, subjects },
            place,
            consumer: None,
            given: 0,
            pending: 0,
            until: until.map_or(after, |latest| latest.position),
            conversations: conversations.iter().copied().collect(),
            upto,
            whole: after,
            damaged: None,
            asked: None,
            is_over: false,
            rest: VecDeque::new(),
            spliced: after,
            has_kept: false,
        })
    }
}

impl Replay {
    /// The same replay, with the erased events that the log still has as they are stored: the content that a legal hold
    /// keeps. Only users who may see the content of the hold may be shown these events.
    #[must_use]
    pub(crate) fn with_kept(mut self) -> Self {
        self.has_kept = true;
        self
    }

    /// The next events, at most `limit` and [`PAGE`]; empty when there are no more. The events before a hole are good,
    /// and are handed over first.
    pub async fn page(&mut self, limit: usize) -> Result<Vec<Recorded>, NotRead> {
        while self.rest.is_empty() && self.damaged.is_none() {
            let page = self.page_there(limit).await?;
            // The leader was asked for holes, so by now each of them is explained up to here.
            let upto = self.damaged.as_ref().map_or(self.whole, |damaged| damaged.last);
            let conversations = self.conversations.iter().copied();
            let mut erased = self.log.erased(self.reading.stream).of(conversations, self.spliced, upto);
            if self.has_kept {
                let is_there = |at| page.binary_search_by_key(&at, |event| event.position).is_ok();
                erased.retain(|skeleton| !is_there(skeleton.position));
            }
            self.spliced = self.spliced.max(upto);
            self.rest = spliced(page, erased).into();
            if self.is_over {
                break;
            }
        }
        if let Some(damaged) = self.damaged.as_ref().filter(|_| self.rest.is_empty()) {
            return Err(damaged.clone().into());
        }
        Ok(self.rest.drain(..limit.min(PAGE).min(self.rest.len())).collect())
    }

    /// The next events from the consumer, checked for holes.
    async fn page_there(&mut self, limit: usize) -> Result<Vec<Recorded>, NotRead> {
        let mut page = self.next(limit).await?;
        if let Some(begun) = page.iter().find(|event| self.is_begun_by(event)) {
            self.whole = self.whole.max(begun.position);
        }
        let read = if self.is_over { self.upto } else { self.reading.after.min(self.upto) };
        if let Some(damaged) = self.log.damage(self.reading.stream, self.whole, read).await? {
            page.retain(|event| event.position <= damaged.last);
            self.damaged = Some(damaged);
            return Ok(page);
        }
        self.whole = self.whole.max(read);
        Ok(page)
    }

    /// Whether there are certainly no more events.
    pub fn is_over(&self) -> bool {
        self.is_over && self.damaged.is_none() && self.rest.is_empty()
    }

    /// Whether no event of the replay can come before this one.
    fn is_begun_by(&self, event: &Recorded) -> bool {
        self.conversations.len() == 1 && event.begins()
    }

    async fn next(&mut self, limit: usize) -> Result<Vec<Recorded>, NotRead> {
        let mut alive = Instant::now();
        let mut lacking = Unavailable::because("no page of a replay in time");
        while !self.is_over {
            self.rest().await;
            match timeout_at(alive + PAGE_WITHIN, self.read(limit)).await {
                Ok(Ok(read)) if !read.is_empty() || self.is_over => {
                    alive = Instant::now();
                    let mut page = read;
                    page.retain(|event| {
                        self.conversations.contains(&event.conversation) && event.position <= self.upto
                    });
                    if !page.is_empty() {
                        return Ok(page);
                    }
                    continue;
                }
                Ok(Ok(_)) => {
                    lacking = Unavailable::because("the server that a replay reads from lags behind");
                    // If the awaited event is missing, waiting for it is pointless.
                    if let Some(damaged) =
                        self.log.damage(self.reading.stream, self.whole, self.until).await?
                    {
                        return Err(damaged.into());
                    }
                    // It was erased in the meantime, and the event that lists it is awaited instead.
                    if let Some(told_at) = self.log.erased(self.reading.stream).told_at(self.until) {
                        self.until = told_at;
                    }
                }
                Ok(Err(e)) => lacking = e,
                Err(_) => return Err(lacking.into()),
            }
            tracing::debug!(%lacking, "requesting a page of a replay again");
            if alive.elapsed() > STALLED {
                self.consumer = None;
            }
            sleep(PAUSE).await;
        }
        Ok(Vec::new())
    }

    /// Rests as long as the last page has taken, including the work of its reader. So a long replay uses at most half
    /// of a core of the node and of nats-server, and live traffic goes first. A replay of one page has no rest.
    async fn rest(&mut self) {
        if let Some(asked) = self.asked {
            sleep(asked.elapsed().min(LONGEST_REST)).await;
        }
        self.asked = Some(Instant::now());
    }

    /// Reads the events that are available at present.
    async fn read(&mut self, limit: usize) -> Result<Vec<Recorded>, Unavailable> {
        let consumer = match &self.consumer {
            Some(consumer) => consumer,
            None => {
                self.log.know_erasures(self.reading.stream).await?;
                let made = ShortLived::make(&self.log, &self.place, &self.reading).await?;
                (self.given, self.pending) = (0, made.pending());
                self.consumer.insert(made)
            }
        };
        let mut page = Vec::new();
        if self.pending > 0 || self.reading.after < self.until {
            let messages = consumer.fetch(limit.min(PAGE), PAGE_BYTES).await?;
            page = self.take(messages).await;
        }
        let is_all = self.consumer.is_some() && self.pending == 0 && self.reading.after >= self.until;
        self.is_over = is_all || self.reading.after >= self.upto;
        Ok(page)
    }

    /// Takes events up to the first one that was lost on its way. The events after it are read again.
    async fn take(&mut self, messages: Vec<Message>) -> Vec<Recorded> {
        let mut page = Vec::with_capacity(messages.len());
        for (n, message) in (1..).zip(messages) {
            if n % IN_A_ROW == 0 {
                yield_now().await;
            }
            let Ok(info) = message.info() else { break };
            if info.consumer_sequence != self.given + 1 {
                self.consumer = None;
                break;
            }
            (self.given, self.pending) = (info.consumer_sequence, info.pending);
            self.reading.after = Position(info.stream_sequence);
            let headers = message.headers.as_ref();
            let payload = message.payload.clone();
            let event = Recorded::read_or_poison(info.stream_sequence, &message.subject, headers, payload);
            self.log.heard(self.reading.stream, &event);
            page.push(event);
        }
        page
    }
}
