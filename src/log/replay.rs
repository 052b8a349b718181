//! Reading again what happened in some conversations: a short-lived consumer that is asked for
//! page after page, so that nothing is read that nobody waits for.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_nats::jetstream::Message;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Log, Recorded, Unavailable,
    consumers::{Place, Reading, ShortLived},
    subject,
};
use crate::domain::{ConversationId, Lane, Position};

/// The most events of a page.
pub const PAGE: usize = 500;
/// The most bytes of a page.
pub const PAGE_BYTES: usize = 1 << 20;
/// The longest wait for a page.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before a consumer is asked again. Right after it was made the servers may not
/// know of it yet, and it may live on one that lags behind.
const PAUSE: Duration = Duration::from_millis(20);
/// A consumer that gives nothing for so long is given up for another one, on any server.
const STALLED: Duration = Duration::from_secs(1);
/// From so many conversations on the whole stream is read and sorted out here: the server compares
/// each event with every filter.
const MAX_FILTERS: usize = 300;

/// What happened in some conversations of one stream, page by page. Its consumer goes with it.
pub struct Replay {
    log: Log,
    reading: Reading,
    place: Arc<Place>,
    consumer: Option<ShortLived>,
    /// How many events the consumer has given: its own numbers have no holes.
    given: u64,
    /// How many it still has to give, as it says itself.
    pending: u64,
    /// An event that is known to be stored. It is read as well, because a consumer may live on a
    /// server that lags behind, and before this event nothing is complete.
    until: Position,
    /// What was asked for.
    conversations: HashSet<ConversationId>,
    /// All has been read.
    is_over: bool,
}

impl Log {
    /// Reads what happened in conversations of a stream after a position.
    pub async fn replay(
        &self,
        stream: usize,
        after: Position,
        conversations: &[ConversationId],
    ) -> Result<Replay, Unavailable> {
        let place = self.places.take().await?;
        let until = self.known[stream].latest().filter(|latest| latest.position > after);
        let subjects = if conversations.len() > MAX_FILTERS {
            HashSet::new()
        } else {
            let lanes = |id: &ConversationId| Lane::DURABLE.map(|lane| subject::of(*id, lane));
            let known = until.iter().map(|latest| latest.subject.clone());
            conversations.iter().flat_map(lanes).chain(known).collect()
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
            is_over: false,
        })
    }
}

impl Replay {
    /// The next events, at most `limit` and [`PAGE`]; empty when there are no more.
    pub async fn page(&mut self, limit: usize) -> Result<Vec<Recorded>, Unavailable> {
        let mut alive = Instant::now();
        let mut lacking = Unavailable::because("no page of a replay in time");
        loop {
            let deadline = alive + PATIENCE;
            match timeout_at(deadline, self.read(limit)).await {
                Ok(Ok(Some(read))) if read.is_empty() => {
                    lacking = Unavailable::because("the server that a replay reads from lags behind");
                }
                Ok(Ok(Some(mut read))) => {
                    alive = Instant::now();
                    read.retain(|event| self.conversations.contains(&event.conversation));
                    if !read.is_empty() {
                        return Ok(read);
                    }
                    continue;
                }
                Ok(Ok(None)) => return Ok(Vec::new()),
                Ok(Err(e)) => lacking = e,
                Err(_) => return Err(lacking),
            }
            tracing::debug!(%lacking, "a page of a replay is asked for again");
            if alive.elapsed() > STALLED {
                self.consumer = None;
            }
            sleep(PAUSE).await;
        }
    }

    /// What there is at present; `None` when all has been read.
    async fn read(&mut self, limit: usize) -> Result<Option<Vec<Recorded>>, Unavailable> {
        if self.is_over {
            return Ok(None);
        }
        if self.consumer.is_none() {
            let made = ShortLived::make(&self.log, &self.place, &self.reading).await?;
            (self.given, self.pending) = (0, made.pending());
            self.consumer = Some(made);
        }
        self.is_over = self.pending == 0 && self.reading.after >= self.until;
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.is_over) else { return Ok(None) };
        let messages = consumer.fetch(limit.min(PAGE), PAGE_BYTES).await?;
        Ok(Some(self.take(messages)))
    }

    /// Takes events in for as long as none was lost on its way; what comes after is read again.
    fn take(&mut self, messages: Vec<Message>) -> Vec<Recorded> {
        let mut page = Vec::with_capacity(messages.len());
        for message in messages {
            let Ok(info) = message.info() else { break };
            if info.consumer_sequence != self.given + 1 {
                self.consumer = None;
                break;
            }
            (self.given, self.pending) = (info.consumer_sequence, info.pending);
            self.reading.after = Position(info.stream_sequence);
            let headers = message.headers.as_ref();
            let payload = message.payload.clone();
            page.push(Recorded::read_or_poison(info.stream_sequence, &message.subject, headers, payload));
        }
        page
    }
}
