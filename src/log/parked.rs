//! Parked events: events that nats-server has given up delivering to a consumer. The event itself stays in the log for
//! ever, so a dead letter is only a position, and the consumer gets the event again as a copy.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    slice,
    time::Duration,
};

use async_nats::{
    HeaderMap, HeaderName,
    header::NATS_MESSAGE_ID,
    jetstream::{
        Message,
        consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    },
};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    domain::{Position, Time},
    log::{
        Log, OpenError, Unavailable,
        absent::{if_there, is_without_stream},
        erase::delete_at,
        errors::refused,
        streams::{
            layout,
            parked::{ADVISORIES, GIVEN_UP, REPLAY, advisories, replay, replays},
        },
    },
};

/// The headers of a copy, which say where its event is.
const POSITION: HeaderName = HeaderName::from_static("verbatim-position");
const SUBJECT: HeaderName = HeaderName::from_static("verbatim-subject");
const STREAM: HeaderName = HeaderName::from_static("verbatim-stream");
/// The most advisories that are read at once.
const PAGE: usize = 10_000;
/// The most copies that are read at once.
const COPIES: usize = 100;
/// The most messages that are looked up or deleted concurrently.
const AT_ONCE: usize = 16;
/// How long a cluster may take to learn of a new consumer, and the wait before it is asked again.
const KNOWN: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// An event that was delivered to a consumer without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeadLetter {
    /// The stream of the event.
    pub stream: String,
    /// Its position there.
    pub position: u64,
    /// `max_deliveries`: it was never acknowledged; `terminated`: the consumer has refused it for good.
    pub reason: &'static str,
    /// The reason that the consumer gave when it refused the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When nats-server gave up on it the first time.
    pub first_at: Time,
    /// When nats-server gave up on it the last time.
    pub last_at: Time,
    /// The messages of the stream ADVISORIES that report it.
    #[serde(skip)]
    told: Vec<u64>,
}

#[derive(Deserialize)]
struct Advisory {
    stream: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
    reason: Option<String>,
}

impl Log {
    /// Creates the streams of parked events, if they are missing. Nodes may not create streams, and find these two in
    /// place.
    pub(crate) async fn make_parked(&self) -> Result<(), OpenError> {
        for stream in [advisories(self.layout()), replays(self.layout())] {
            if self.jetstream.get_stream(&stream.name).await.is_err() {
                self.maker.create(stream).await?;
            }
        }
        Ok(())
    }

    /// How often nats-server has given up on an event, by the name of the consumer. An event may count more than once.
    pub(crate) async fn given_up(&self) -> Result<HashMap<String, u64>, OpenError> {
        let mut counts = HashMap::new();
        let stream = self.jetstream.get_stream_no_info(ADVISORIES).await.map_err(refused)?;
        // Without the stream nothing was ever given up.
        let Ok(mut subjects) = stream.info_with_subjects(">").await else { return Ok(counts) };
        while let Some(counted) = subjects.next().await {
            let (subject, count) = counted.map_err(refused)?;
            if let Some((_, name)) = subject.rsplit_once('.') {
                *counts.entry(name.to_owned()).or_default() += count as u64;
            }
        }
        Ok(counts)
    }

    /// The parked events of a consumer, by stream and position. An event that was parked again counts once.
    pub(crate) async fn parked(&self, name: &str) -> Result<Vec<DeadLetter>, OpenError> {
        let stream = self.jetstream.get_stream_no_info(ADVISORIES).await.map_err(refused)?;
        let reading = pull::Config {
            filter_subjects: GIVEN_UP.iter().map(|subject| format!("{subject}.*.{name}")).collect(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(20),
            ..pull::Config::default()
        };
        let consumer = match stream.create_consumer(reading).await {
            Ok(consumer) => consumer,
            // Without the stream nothing was ever parked.
            Err(e) if is_without_stream(&e) => return Ok(Vec::new()),
            Err(e) => return Err(refused(e)),
        };
        let page = page_of(&consumer, PAGE).await?;
        let advisories: Vec<(&Message, Advisory)> = page
            .iter()
            .filter_map(|message| Some((message, serde_json::from_slice(&message.payload).ok()?)))
            .collect();
        let copies = advisories.iter().filter(|(_, advisory)| advisory.stream == REPLAY);
        let copied = self.events_of_copies(copies.map(|(_, advisory)| advisory.stream_seq).collect()).await?;
        let mut found: BTreeMap<(String, u64), DeadLetter> = BTreeMap::new();
        for (message, advisory) in advisories {
            let info = message.info().map_err(refused)?;
            let (stream, position) = match advisory.stream == REPLAY {
                // The durable that delivers copies has the same name. A copy that was
                // delivered in vain is parked as its event. A copy that the consumer has refused for good is gone, as if
                // it had been acknowledged.
                true => match copied.get(&advisory.stream_seq) {
                    Some(event) => event.clone(),
                    None => continue,
                },
                false => (advisory.stream, advisory.stream_seq),
            };
            let at = Time::of(info.published);
            let reason =
                if message.subject.starts_with(GIVEN_UP[0]) { "max_deliveries" } else { "terminated" };
            let entry = found.entry((stream.clone(), position)).or_insert_with(|| DeadLetter {
                stream,
                position,
                reason,
                said: None,
                deliveries: 0,
                first_at: at,
                last_at: at,
                told: Vec::new(),
            });
            entry.reason = reason;
            entry.said = advisory.reason.filter(|said| !said.is_empty());
            entry.deliveries = entry.deliveries.max(advisory.deliveries);
            entry.last_at = at;
            entry.told.push(info.stream_sequence);
        }
        // The consumer would expire by itself, but a stream can have only so many of them.
        drop(stream.delete_consumer(&consumer.cached_info().name).await);
        Ok(found.into_values().collect())
    }

    /// Sends a consumer copies of parked events, each once: after the copy is stored, the event is no longer parked. An
    /// erased event is not sent, and is no longer parked either.
    pub(crate) async fn give_again(&self, name: &str, letters: &[DeadLetter]) -> Result<u32, OpenError> {
        let mut given = 0;
        for letter in letters {
            if self.is_letter_erased(letter).await.map_err(refused)? {
                self.is_not_parked(letter).await?;
                continue;
            }
            let stream = self.jetstream.get_stream_no_info(&letter.stream).await.map_err(refused)?;
            let event = stream.get_raw_message(letter.position).await.map_err(refused)?;
            // With the id of the event, JetStream would take a second copy for a retry of the first one. With the
            // position of the report, it stores one copy when two requests have read the same report.
            let mut headers = HeaderMap::new();
            for (name, values) in
                event.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-"))
            {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
            headers.insert(POSITION, letter.position.to_string());
            headers.insert(SUBJECT, event.subject.to_string());
            headers.insert(STREAM, letter.stream.clone());
            if let Some(told) = letter.told.last() {
                headers.insert(NATS_MESSAGE_ID, told.to_string());
            }
            let stored = self.jetstream.publish_with_headers(replay(name), headers, event.payload).await;
            let stored = stored.map_err(refused)?.await.map_err(refused)?;
            self.is_not_parked(letter).await?;
            given += u32::from(!stored.duplicate);
        }
        Ok(given)
    }

    /// Forgets the parked events of a consumer that has no durables: a new one of its name inherits nothing. The streams
    /// of parked events have to exist.
    pub(crate) async fn forget_parked(&self, name: &str) -> Result<(), OpenError> {
        loop {
            let letters = self.parked(name).await?;
            if letters.is_empty() {
                break;
            }
            self.are_not_parked(&letters).await?;
        }
        // The durable of an attempt to add the consumer that was interrupted: nothing was left when it was created.
        if self.durable_info(name, REPLAY).await?.is_some() {
            return Ok(());
        }
        let copies = self.jetstream.get_stream_no_info(REPLAY).await.map_err(refused)?;
        let first = if_there(copies.get_first_raw_message_by_subject(&replay(name), 1).await);
        if first.map_err(refused)?.is_none() {
            return Ok(());
        }
        // A node may not delete copies. A copy that is acknowledged deletes itself.
        let reading = pull::Config {
            filter_subject: replay(name),
            ack_policy: AckPolicy::Explicit,
            inactive_threshold: Duration::from_secs(20),
            ..pull::Config::default()
        };
        let consumer = copies.create_consumer(reading).await.map_err(refused)?;
        loop {
            let page = page_of(&consumer, COPIES).await?;
            if page.is_empty() {
                break;
            }
            for copy in page {
                copy.double_ack().await.map_err(refused)?;
            }
        }
        // Otherwise the durable of the next consumer would have to wait until this one expires.
        copies.delete_consumer(&consumer.cached_info().name).await.map_err(refused)?;
        Ok(())
    }

    /// When a parked event was stored; `None` if the log no longer has it.
    pub(crate) async fn stored_at(&self, letter: &DeadLetter) -> Result<Option<Time>, OpenError> {
        let stream = self.jetstream.get_stream_no_info(&letter.stream).await.map_err(refused)?;
        let event = if_there(stream.get_raw_message(letter.position).await).map_err(refused)?;
        Ok(event.map(|event| Time::of(event.time)))
    }

    /// The stream and the position of the event of each copy that nobody has acknowledged, by the sequence of the copy.
    async fn events_of_copies(
        &self,
        sequences: BTreeSet<u64>,
    ) -> Result<HashMap<u64, (String, u64)>, OpenError> {
        let copies = self.jetstream.get_stream_no_info(REPLAY).await.map_err(refused)?;
        let asked: Vec<_> = sequences.iter().map(|sequence| copies.get_raw_message(*sequence)).collect();
        let mut reads = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut events = HashMap::new();
        while let Some(read) = reads.next().await {
            let Some(copy) = if_there(read).map_err(refused)? else { continue };
            events.extend(event_of(&copy.headers).map(|event| (copy.sequence, event)));
        }
        Ok(events)
    }

    /// Deletes the messages that report an event as parked.
    async fn is_not_parked(&self, letter: &DeadLetter) -> Result<(), OpenError> {
        self.are_not_parked(slice::from_ref(letter)).await
    }

    /// Deletes the messages that report events as parked. One that is gone already is no error: another request may have
    /// been faster, and they expire.
    pub(crate) async fn are_not_parked(&self, letters: &[DeadLetter]) -> Result<(), OpenError> {
        let advisories = self.jetstream.get_stream_no_info(ADVISORIES).await.map_err(refused)?;
        let mut deleting = Vec::new();
        for letter in letters {
            for told in &letter.told {
                deleting.push(delete_at(&advisories, Position(*told)));
            }
        }
        let mut deleted = stream::iter(deleting).buffer_unordered(AT_ONCE);
        while let Some(deleted) = deleted.next().await {
            deleted.map_err(refused)?;
        }
        Ok(())
    }

    /// Whether the log lists a parked event as erased.
    async fn is_letter_erased(&self, letter: &DeadLetter) -> Result<bool, Unavailable> {
        match layout::index(&letter.stream).filter(|stream| *stream < self.layout.streams) {
            Some(stream) => Ok(self.skeleton(stream, Position(letter.position)).await?.is_some()),
            None => Ok(false),
        }
    }
}

/// The stream and the position of the event of which a message is a copy.
pub(super) fn event_of(copy: &HeaderMap) -> Option<(String, u64)> {
    let stream = copy.get(STREAM)?.to_string();
    Some((stream, copy.get(POSITION)?.as_str().parse().ok()?))
}

/// The messages that a new consumer delivers, at most `most`. In a cluster the servers may not know the consumer yet,
/// and answer 503: then nothing was delivered, and the request is repeated.
async fn page_of(consumer: &PullConsumer, most: usize) -> Result<Vec<Message>, OpenError> {
    let begun = Instant::now();
    loop {
        let mut given = consumer.fetch().max_messages(most).messages().await.map_err(refused)?;
        let mut page = Vec::new();
        let failed = loop {
            match given.next().await {
                Some(Ok(message)) => page.push(message),
                Some(Err(error)) => break error,
                None => return Ok(page),
            }
        };
        if !page.is_empty() || begun.elapsed() > KNOWN {
            return Err(refused(failed));
        }
        sleep(AGAIN).await;
    }
}
