//! Reading again what happened in some conversations: a short-lived consumer that is asked for
//! page after page, so that nothing is read that nobody waits for.

use std::{collections::HashSet, pin::pin, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::{Log, Recorded, Unavailable, look_up::hedged, streams, subject};
use crate::domain::{ConversationId, Lane, Position};

/// The most events of a page.
pub const PAGE: usize = 500;
/// The most bytes of a page.
pub const PAGE_BYTES: usize = 1 << 20;
/// The longest wait for a page.
const PATIENCE: Duration = Duration::from_secs(5);
/// From then on another consumer is asked for beside the first, whose server may hang; the one that
/// comes too late goes by itself.
const HEDGE: Duration = Duration::from_secs(1);
/// How long to wait for a server that lags behind.
const PAUSE: Duration = Duration::from_millis(20);
/// A consumer that nobody asks any more goes by itself.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// From so many conversations on the whole stream is read and sorted out here: the server compares
/// each event with every filter.
const MAX_FILTERS: usize = 300;

/// What happened in some conversations of one stream, page by page.
pub struct Replay {
    log: Log,
    stream: usize,
    consumer: Consumer<pull::Config>,
    /// How many events the consumer has given: its own numbers have no holes.
    given: u64,
    /// How many it still has to give, as it says itself.
    pending: u64,
    /// The last position it gave.
    last: Position,
    /// An event that is known to be stored. It is read as well, because a consumer may live on a
    /// server that lags behind, and before this event nothing is complete.
    until: Position,
    /// What was asked for.
    conversations: HashSet<ConversationId>,
}

impl Log {
    /// Reads what happened in conversations of a stream after a position.
    pub async fn replay(
        &self,
        stream: usize,
        after: Position,
        conversations: &[ConversationId],
    ) -> Result<Replay, Unavailable> {
        let until = self.known[stream].latest().filter(|latest| latest.position > after);
        let filter_subjects = if conversations.len() > MAX_FILTERS {
            Vec::new()
        } else {
            let lanes = |id: &ConversationId| Lane::DURABLE.map(|lane| subject::of(*id, lane));
            let known = until.iter().map(|latest| latest.subject.clone());
            let all: HashSet<String> = conversations.iter().flat_map(lanes).chain(known).collect();
            all.into_iter().collect()
        };
        let config = pull::Config {
            filter_subjects,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let create = || self.jetstream.create_consumer_on_stream(config.clone(), streams::name(stream));
        let consumer = hedged(HEDGE, create).await.map_err(Unavailable::because)?;
        let pending = consumer.cached_info().num_pending;
        let until = until.map_or(after, |latest| latest.position);
        let conversations = conversations.iter().copied().collect();
        Ok(Replay {
            log: self.clone(),
            stream,
            consumer,
            given: 0,
            pending,
            last: after,
            until,
            conversations,
        })
    }
}

impl Replay {
    /// The next events, at most `limit` and [`PAGE`]; empty when there are no more.
    pub async fn page(&mut self, limit: usize) -> Result<Vec<Recorded>, Unavailable> {
        let deadline = Instant::now() + PATIENCE;
        while self.pending > 0 || self.last < self.until {
            let read = self.fetch(limit).await?;
            let is_late = read.is_empty() && Instant::now() > deadline;
            let page: Vec<Recorded> =
                read.into_iter().filter(|event| self.conversations.contains(&event.conversation)).collect();
            if !page.is_empty() {
                return Ok(page);
            }
            if is_late {
                return Err(Unavailable::because("no page of a replay"));
            }
            if self.pending == 0 {
                sleep(PAUSE).await;
            }
        }
        Ok(Vec::new())
    }

    async fn fetch(&mut self, limit: usize) -> Result<Vec<Recorded>, Unavailable> {
        let fetched = self.consumer.fetch().max_messages(limit.min(PAGE)).max_bytes(PAGE_BYTES).messages();
        let mut messages = pin!(fetched.await.map_err(Unavailable::because)?);
        let mut page = Vec::new();
        while let Some(message) = timeout(PATIENCE, messages.next()).await.ok().flatten() {
            match message {
                Ok(message) => page.push(self.take(&message)?),
                // A page that is full by its bytes ends with an error, too.
                Err(_) if !page.is_empty() => break,
                Err(e) => return Err(Unavailable::because(e)),
            }
        }
        Ok(page)
    }

    fn take(&mut self, message: &Message) -> Result<Recorded, Unavailable> {
        let info = message.info().map_err(Unavailable::because)?;
        self.given += 1;
        self.pending = info.pending;
        self.last = Position(info.stream_sequence);
        if info.consumer_sequence != self.given {
            return Err(Unavailable::because("an event of a replay was lost on its way"));
        }
        let headers = message.headers.as_ref();
        let payload = message.payload.clone();
        Ok(Recorded::read_or_poison(info.stream_sequence, &message.subject, headers, payload))
    }

    /// Clears the consumer away: there may be only so many on a stream.
    pub async fn end(self) {
        let stream = streams::name(self.stream);
        let name = &self.consumer.cached_info().name;
        if let Err(e) = self.log.jetstream.delete_consumer_from_stream(name, &stream).await {
            tracing::debug!(error = %e, "the consumer of a replay goes by itself later");
        }
    }
}
