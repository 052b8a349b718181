//! Records: the messages of a stream as they are stored, for the archive. A reader of records returns every message in
//! order, whatever it means, and refuses to skip a position without one.

use std::{fmt::Display, time::Duration};

use async_nats::{
    HeaderMap, HeaderName,
    jetstream::{Message, consumer::DeliverPolicy},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::{
    domain::{AuditEvent, ConversationUpdated, Event, Lane, Position, Recorded, data_without_title},
    log::{
        Damaged, Log, OpenError,
        audited::read_audit,
        envelope::{GONE, type_name},
        errors::refused,
        read::follow::{Making, Messages, made},
        streams::layout::{self, AUDIT},
        subject::{self, SHARDS},
    },
};

/// The most records of a batch, and the most bytes, give or take a record.
const MAX_BATCH: usize = 1_000;
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How often a hole is read again before it is believed.
const ATTEMPTS: u32 = 3;
/// How long to wait before reading again.
const PAUSE: Duration = Duration::from_millis(250);
/// A stream that is silent for this long may have lost its last records.
const SILENCE: Duration = Duration::from_secs(10);

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its position.
    pub position: Position,
    /// When JetStream stored it, in nanoseconds since 1970.
    pub stored_at: i64,
    /// Its subject.
    pub subject: String,
    /// Its headers, as lines `Name: value` that end with CR and LF, in the order of their names: the client library
    /// keeps names and values, but not their order.
    pub headers: Bytes,
    /// Its data.
    pub payload: Bytes,
}

impl Record {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.headers).ok()?;
        text.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Whether it is the placeholder of an erased event.
    pub(crate) fn is_placeholder(&self) -> bool {
        self.header("ce-type").is_some_and(|kind| kind == type_name(GONE))
    }

    /// The audit event, if it is one.
    pub(crate) fn audit_event(&self) -> Option<AuditEvent> {
        read_audit(&self.subject, Some(&self.header_map()), &self.payload)
    }

    /// The headers that still mean something once the message is stored, without the conditions of its append.
    pub(crate) fn lasting_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = std::str::from_utf8(&self.headers).unwrap_or_default();
        let pairs = text.split("\r\n").filter_map(|line| line.split_once(": "));
        pairs.filter(|(name, _)| !name.starts_with("Nats-Expected-") && !name.starts_with("Nats-Batch-"))
    }

    /// Whether another record has the same content at the same position.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.position == other.position
            && self.subject == other.subject
            && self.payload == other.payload
            && self.lasting_headers().eq(other.lasting_headers())
    }

    /// The placeholder at a position whose record an erasure has deleted: it says nothing, and keeps the later
    /// positions unchanged.
    pub(crate) fn placeholder(stream: &str, streams: usize, position: Position) -> Self {
        let index = (0..streams).find(|index| layout::name(*index) == stream).unwrap_or_default();
        let shard = index * SHARDS / streams;
        let headers = [
            ("ce-id", Uuid::from_u128(position.0.into()).to_string()),
            ("ce-source", format!("/conversations/{}", Uuid::nil())),
            ("ce-specversion", "1.0".into()),
            ("ce-type", type_name(GONE)),
        ];
        Self {
            position,
            stored_at: 0,
            subject: format!("chat.{shard:02x}.{}.control", Uuid::nil()),
            headers: text(&headers),
            payload: Bytes::new(),
        }
    }

    /// What an erasure leaves of this record: its place, and of a roster event all but the title, because roster events
    /// name the members. A restore to a point before the event that lists it as erased has no other source for them.
    #[must_use]
    pub(crate) fn erased(&self, stream: &str, streams: usize) -> Self {
        let is_of_roster = subject::conversation(&self.subject)
            .is_some_and(|(_, lane)| subject::lane(lane) == Some(Lane::Roster));
        if !is_of_roster {
            return Self::placeholder(stream, streams, self.position);
        }
        let left = data_without_title(&self.payload);
        let payload = left.map_or_else(|| self.payload.clone(), |left| left.as_str().to_owned().into());
        Self { payload, ..self.clone() }
    }

    /// The same for an event that is gone, made from its skeleton.
    pub(in crate::log) fn left(skeleton: &Recorded, stream: &str, streams: usize) -> Self {
        let Recorded { position, conversation, lane, id, actor, time, .. } = skeleton;
        if *lane != Lane::Roster {
            return Self::placeholder(stream, streams, *position);
        }
        let source = format!("/conversations/{conversation}");
        Self {
            position: *position,
            stored_at: 0,
            subject: subject::of(*conversation, *lane),
            headers: attributes(actor, id, &source, time, &skeleton.word),
            payload: skeleton.data.clone(),
        }
    }

    /// An event that changes nothing on the roster of this event's conversation, with the same actor and time. Its id
    /// is this event's with one bit changed, so that it is always the same for this event.
    pub(crate) fn nothing_on_roster(&self) -> Option<Self> {
        let (conversation, _) = subject::conversation(&self.subject)?;
        let id: Uuid = self.header("ce-id")?.parse().ok()?;
        let id = Uuid::from_u128(id.as_u128() ^ 1);
        let [actor, source, time] = ["ce-actor", "ce-source", "ce-time"].map(|name| self.header(name));
        let nothing = Event::ConversationUpdated(ConversationUpdated::default());
        Some(Self {
            subject: subject::of(conversation, nothing.lane()),
            headers: attributes(actor?, id, source?, time?, nothing.word()),
            payload: nothing.data().ok()?.into(),
            ..self.clone()
        })
    }

    pub(in crate::log) fn of(
        position: u64,
        stored_at: time::OffsetDateTime,
        subject: &str,
        headers: Option<&HeaderMap>,
        payload: Bytes,
    ) -> Self {
        Self {
            position: Position(position),
            stored_at: stored_at.unix_timestamp_nanos().try_into().unwrap_or_default(),
            subject: subject.to_owned(),
            headers: headers.map(lines).unwrap_or_default(),
            payload,
        }
    }

    pub(in crate::log) fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.lasting_headers() {
            if let Ok(name) = name.parse::<HeaderName>() {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// The headers of one of our events.
fn attributes(actor: impl Display, id: impl Display, source: &str, time: impl Display, word: &str) -> Bytes {
    text(&[
        ("ce-actor", actor.to_string()),
        ("ce-datacontenttype", "application/json".into()),
        ("ce-id", id.to_string()),
        ("ce-source", source.into()),
        ("ce-specversion", "1.0".into()),
        ("ce-time", time.to_string()),
        ("ce-type", type_name(word)),
    ])
}

fn text(headers: &[(&str, String)]) -> Bytes {
    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>().into()
}

fn lines(headers: &HeaderMap) -> Bytes {
    let pairs = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let mut pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.as_ref(), value.as_str())).collect();
    // The sort is stable, so the values of one name keep their order.
    pairs.sort_by_key(|(name, _)| *name);
    pairs.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect::<String>().into()
}

/// The first and the last position of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamEnds {
    /// The first position.
    pub first: Position,
    /// The last position.
    pub last: Position,
}

/// A reader of all records of a stream.
pub(crate) struct RecordReader {
    log: Log,
    stream: String,
    messages: Option<Messages>,
    making: Option<Making>,
    /// When a record last arrived, the consumer was created, or the leader was asked why nothing arrives. A wait that is
    /// cancelled and begun anew does not change it.
    heard: Instant,
    last: Position,
    failures: u32,
    /// Whether a hole was found that nothing explains, and the leader has not been asked since.
    is_puzzled: bool,
}

impl Log {
    /// The streams that an archive keeps.
    pub(crate) fn kept_streams(&self) -> Vec<String> {
        (0..self.layout.streams).map(layout::name).chain([AUDIT.to_owned()]).collect()
    }

    /// Where a stream begins and ends.
    pub(crate) async fn ends_of(&self, stream: &str) -> Result<StreamEnds, OpenError> {
        let found = self.jetstream.get_stream(stream).await.map_err(refused)?;
        let state = &found.cached_info().state;
        Ok(StreamEnds { first: Position(state.first_sequence), last: Position(state.last_sequence) })
    }

    /// Reads the records of a stream after a position.
    pub(crate) fn records(&self, stream: &str, after: Position) -> RecordReader {
        RecordReader {
            log: self.clone(),
            stream: stream.to_owned(),
            messages: None,
            making: None,
            heard: Instant::now(),
            last: after,
            failures: 0,
            is_puzzled: true,
        }
    }
}

impl RecordReader {
    /// Waits for records and takes all that are available, up to about a thousand; records of a run of erased positions
    /// come on top. Safe to cancel. An outage is waited out; a position without a message is an error.
    pub(crate) async fn batch(&mut self) -> Result<Vec<Record>, Damaged> {
        loop {
            if let Some(index) = self.index().filter(|_| self.is_puzzled) {
                if let Err(e) = self.log.learn_erasures(index).await {
                    tracing::debug!(error = %e, stream = self.stream, "cannot read the list of erasures");
                    sleep(PAUSE).await;
                    continue;
                }
                self.is_puzzled = false;
            }
            let Some(messages) = &mut self.messages else {
                self.start().await;
                continue;
            };
            let Ok(first) = timeout_at(self.heard + SILENCE, messages.next()).await else {
                self.look_why_nothing_comes().await?;
                continue;
            };
            self.heard = Instant::now();
            let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(first));
            while let Some(item) = next {
                match item {
                    Some(Ok(message)) => match self.take(message, &mut batch) {
                        Ok(Some(more)) => bytes += more,
                        Ok(None) => break,
                        // The records before the damage are good, and are handed over first.
                        Err(_) if !batch.is_empty() => {
                            self.messages = None;
                            break;
                        }
                        Err(damaged) => return Err(damaged),
                    },
                    // A consumer that has failed once is never polled again: async-nats would panic.
                    _ => self.messages = None,
                }
                next = match &mut self.messages {
                    Some(messages) if batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES => {
                        messages.next().now_or_never()
                    }
                    _ => None,
                };
            }
            if !batch.is_empty() {
                return Ok(batch);
            }
            sleep(PAUSE).await;
        }
    }

    /// The number of the stream, if it has conversations.
    fn index(&self) -> Option<usize> {
        (0..self.log.layout.streams).find(|index| layout::name(*index) == self.stream)
    }

    async fn start(&mut self) {
        let from = DeliverPolicy::ByStartSequence { start_sequence: self.last.0 + 1 };
        self.messages = made(&mut self.making, || self.log.making(&self.stream, from)).await;
        self.heard = Instant::now();
    }

    /// Adds the record to a batch, if it is the next one, possibly after erased positions, and returns its size in
    /// bytes. Otherwise the consumer starts again from the expected position. A record that is listed as erased and
    /// still exists is treated like all others: it may have to be kept.
    fn take(&mut self, message: Message, batch: &mut Vec<Record>) -> Result<Option<usize>, Damaged> {
        let info = message.info().map_err(|e| self.damaged(e))?;
        let (position, stored_at) = (info.stream_sequence, info.published);
        let erased = self.index().map(|index| self.log.erased(index));
        let left = |gone: &Recorded| Record::left(gone, &self.stream, self.log.layout.streams);
        if position > self.last.0 + 1
            && let Some(gone) =
                erased.and_then(|erased| erased.all_between(self.last, Position(position), MAX_BATCH))
        {
            self.last = gone.last().map_or(self.last, |last| last.position);
            batch.extend(gone.iter().map(left));
            if position > self.last.0 + 1 {
                self.messages = None;
                return Ok(None);
            }
        }
        if position != self.last.0 + 1 {
            self.messages = None;
            if position > self.last.0 {
                self.is_puzzled = true;
                self.failures += 1;
                if self.failures > ATTEMPTS {
                    return Err(self.damaged(format!("the next record is at {position}")));
                }
            }
            return Ok(None);
        }
        (self.last, self.failures) = (Position(position), 0);
        let Message { message, .. } = message;
        let headers = message.headers.as_ref();
        let record = Record::of(position, stored_at, &message.subject, headers, message.payload);
        let bytes = record.payload.len() + record.headers.len();
        batch.push(record);
        Ok(Some(bytes))
    }

    /// The only sign of records that are missing at the end of a stream is that they do not arrive.
    async fn look_why_nothing_comes(&mut self) -> Result<(), Damaged> {
        let ends = self.log.ends_of(&self.stream).await;
        self.heard = Instant::now();
        let Ok(ends) = ends else { return Ok(()) };
        if ends.last <= self.last {
            return Ok(());
        }
        (self.messages, self.failures) = (None, self.failures + 1);
        match self.failures > ATTEMPTS {
            true => {
                Err(self
                    .damaged(format!("it ends at {}, but the record after that does not arrive", ends.last)))
            }
            false => Ok(()),
        }
    }

    fn damaged(&self, why: impl Display) -> Damaged {
        Damaged { stream: self.stream.clone(), last: self.last, why: why.to_string() }
    }
}
