//! The durables of a consumer: one on each stream that it reads, all with its name.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, Info, PriorityPolicy, ReplayPolicy, pull},
    context::ConsumerInfoErrorKind,
    stream::{ConsumerCreateStrictErrorKind, Stream},
};

use crate::{
    domain::{ConversationId, Lane, Time},
    log::{
        Log, OpenError,
        absent::{is_without_consumer, is_without_stream},
        errors::refused,
        streams::{
            layout::{self, AUDIT},
            parked,
        },
        subject,
    },
};

/// The metadata that identify a durable: the name of its consumer, and a hash of what it reads.
const CONSUMER: &str = "verbatim.consumer";
const FILTER: &str = "verbatim.filter";
/// How long a process may be silent before an event is delivered again. nats-server uses the first of the waits below
/// instead, as its answer to the creation says.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// The waits before an event is delivered again, in seconds.
const BACKOFF: [u64; 5] = [1, 5, 30, 120, 600];
/// How often an event is delivered at most. After that it is parked.
const DELIVERIES: i64 = 10;
/// The only group of an exclusive consumer: nats-server delivers the events of a group to one process.
pub(crate) const GROUP: &str = "one";
/// How long the reading process may request nothing before another one takes over.
const TAKE_OVER: Duration = Duration::from_secs(30);
/// How many events may wait for their acknowledgement.
const PENDING: i64 = 1_000;

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// At the first event.
    First,
    /// After the last event.
    Now,
    /// At a position of each stream, and at the next event of a stream that has not reached it.
    Position(u64),
    /// At the first event that was stored at a time or later.
    Time(Time),
}

/// A durable to be created.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerDurable {
    /// The stream.
    pub stream: String,
    /// The subjects that it reads there.
    pub subjects: Vec<String>,
}

/// The settings that all durables of a consumer share.
#[derive(Debug, Clone)]
pub(crate) struct Durables<'a> {
    /// The name of the consumer.
    pub name: &'a str,
    /// A hash of what it reads.
    pub filter: &'a str,
    /// Where it begins.
    pub from: StartAt,
    /// Whether only one process of the consumer reads at a time.
    pub is_exclusive: bool,
}

/// Whether a durable exists, and is the expected one.
pub(crate) enum FoundDurable {
    /// There is none.
    None,
    /// It belongs to the same consumer, and reads the same.
    Same,
    /// It belongs to another program, or reads something else.
    Other,
}

/// How far a consumer has come in one stream.
#[derive(Debug, Clone)]
pub(crate) struct DurableState {
    /// Events that it has not acknowledged.
    pub lag: u64,
    /// When the oldest of them was stored.
    pub waits_since: Option<Time>,
    /// Events that were delivered more than once and are not acknowledged.
    pub redelivered: u64,
    /// When it last received or acknowledged an event.
    pub last_active: Option<Time>,
    /// When it last acknowledged an event.
    pub acknowledged: Option<Time>,
    /// Pending requests for events.
    pub waiting: usize,
    /// When the durable was created.
    pub made: Time,
}

impl Log {
    /// The durables of a consumer that reads these lanes of all conversations, or of some.
    pub(crate) fn durables_of(
        &self,
        lanes: &[Lane],
        conversations: &[ConversationId],
    ) -> Vec<ConsumerDurable> {
        let streams = self.layout().streams;
        if conversations.is_empty() {
            let subjects: Vec<_> = lanes.iter().map(|lane| format!("chat.*.*.{}", lane.word())).collect();
            let on = |index| ConsumerDurable { stream: layout::name(index), subjects: subjects.clone() };
            return (0..streams).map(on).collect();
        }
        let on = |index| {
            let here = conversations.iter().filter(|id| subject::stream_of(**id, streams) == index);
            let subjects: Vec<_> =
                here.flat_map(|id| lanes.iter().map(|lane| subject::of(*id, *lane))).collect();
            (!subjects.is_empty()).then(|| ConsumerDurable { stream: layout::name(index), subjects })
        };
        (0..streams).filter_map(on).collect()
    }

    /// The durable of a consumer that reads audit events.
    pub(crate) fn durable_of_audit(&self) -> ConsumerDurable {
        ConsumerDurable { stream: AUDIT.into(), subjects: vec!["audit.*.*".into()] }
    }

    /// The durable through which a consumer gets parked events again.
    pub(crate) fn durable_of_replays(&self, name: &str) -> ConsumerDurable {
        ConsumerDurable { stream: parked::REPLAY.into(), subjects: vec![parked::replay(name)] }
    }

    /// Inspects the durable of a consumer on a stream.
    pub(crate) async fn durable(&self, of: &Durables<'_>, stream: &str) -> Result<FoundDurable, OpenError> {
        let Some(found) = self.durable_info(of.name, stream).await? else { return Ok(FoundDurable::None) };
        let has = |key: &str, value: &str| found.config.metadata.get(key).is_some_and(|has| has == value);
        match has(CONSUMER, of.name) && has(FILTER, of.filter) {
            true => Ok(FoundDurable::Same),
            false => Ok(FoundDurable::Other),
        }
    }

    /// Creates a durable. The server is asked to create and never to change one, so an existing durable is not harmed.
    pub(crate) async fn make_durable(
        &self,
        of: &Durables<'_>,
        durable: &ConsumerDurable,
    ) -> Result<(), OpenError> {
        let is_replay = durable.stream == parked::REPLAY;
        let next = match of.from {
            StartAt::Position(_) if !is_replay => self.ends_of(&durable.stream).await?.last.0 + 1,
            _ => 1,
        };
        let config = pull::Config {
            durable_name: Some(of.name.to_owned()),
            filter_subjects: durable.subjects.clone(),
            deliver_policy: match of.from {
                // Waiting copies are new to the consumer, wherever it begins.
                _ if is_replay => DeliverPolicy::All,
                StartAt::First => DeliverPolicy::All,
                StartAt::Now => DeliverPolicy::New,
                StartAt::Position(0) => DeliverPolicy::All,
                // From a position that a stream has not reached, no event would come until it is reached.
                StartAt::Position(position) => {
                    DeliverPolicy::ByStartSequence { start_sequence: position.min(next) }
                }
                StartAt::Time(time) => DeliverPolicy::ByStartTime { start_time: time.datetime() },
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: DELIVERIES,
            backoff: BACKOFF.map(Duration::from_secs).to_vec(),
            max_ack_pending: PENDING,
            replay_policy: ReplayPolicy::Instant,
            priority_policy: if of.is_exclusive {
                PriorityPolicy::PinnedClient
            } else {
                PriorityPolicy::None
            },
            priority_groups: if of.is_exclusive { vec![GROUP.to_owned()] } else { Vec::new() },
            priority_timeout: if of.is_exclusive { TAKE_OVER } else { Duration::ZERO },
            metadata: HashMap::from([
                (CONSUMER.to_owned(), of.name.to_owned()),
                (FILTER.to_owned(), of.filter.to_owned()),
            ]),
            ..pull::Config::default()
        };
        let made = self.jetstream.create_consumer_strict_on_stream(config, &durable.stream).await;
        match made {
            Err(e) if !matches!(e.kind(), ConsumerCreateStrictErrorKind::AlreadyExists) => Err(refused(e)),
            _ => Ok(()),
        }
    }

    /// The streams on which there are durables of a name.
    pub(crate) async fn streams_read_by(&self, name: &str) -> Result<Vec<String>, OpenError> {
        let mut found = Vec::new();
        let chat = (0..self.layout().streams).map(layout::name);
        for stream in chat.chain([AUDIT.to_owned(), parked::REPLAY.to_owned()]) {
            if self.durable_info(name, &stream).await?.is_some() {
                found.push(stream);
            }
        }
        Ok(found)
    }

    /// Removes the durable of a name from a stream.
    pub(crate) async fn remove_durable(&self, name: &str, stream: &str) -> Result<(), OpenError> {
        let gone = self.jetstream.delete_consumer_from_stream(name, stream).await;
        match gone {
            // Another command may have been faster.
            Err(e) if is_without_consumer(&e) || is_without_stream(&e) => Ok(()),
            Err(e) => Err(refused(e)),
            Ok(_) => Ok(()),
        }
    }

    /// How far the durable of a name has come in a stream; `None` if there is none. `parked` has the positions of the
    /// stream that nats-server has given up on.
    pub(crate) async fn durable_state(
        &self,
        name: &str,
        stream: &str,
        parked: &BTreeSet<u64>,
    ) -> Result<Option<DurableState>, OpenError> {
        let Some(info) = self.durable_info(name, stream).await? else { return Ok(None) };
        let lag = info.num_pending + info.num_ack_pending as u64;
        let waits_since = match lag {
            0 => None,
            _ => {
                let stream = self.jetstream.get_stream_no_info(stream).await.map_err(refused)?;
                oldest(&stream, &info, parked).await?
            }
        };
        let active = [info.delivered.last_active, info.ack_floor.last_active].into_iter().flatten().max();
        Ok(Some(DurableState {
            lag,
            waits_since,
            redelivered: info.num_redelivered as u64,
            last_active: active.map(Time::of),
            acknowledged: info.ack_floor.last_active.map(Time::of),
            waiting: info.num_waiting,
            made: Time::of(info.created),
        }))
    }

    /// Whether a stream answers. One that does not exist has no durables either, and JetStream says so.
    pub(crate) async fn answers_for(&self, stream: &str) -> bool {
        let asked = self.jetstream.get_stream(stream).await;
        asked.map_or_else(|e| layout::is_not_found(e.kind()), |_| true)
    }

    pub(in crate::log) async fn durable_info(
        &self,
        name: &str,
        stream: &str,
    ) -> Result<Option<Info>, OpenError> {
        let stream = match self.jetstream.get_stream_no_info(stream).await {
            Ok(stream) => stream,
            Err(e) => return Err(refused(e)),
        };
        match stream.consumer_info(name).await {
            Ok(info) => Ok(Some(info)),
            Err(e) => match e.kind() {
                ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => Ok(None),
                _ => Err(refused(e)),
            },
        }
    }
}

/// The time of the oldest event that the durable has not acknowledged.
///
/// It is the first event after the floor of acknowledgements, but the floor stops before a parked event until no event
/// waits for its acknowledgement any more. In that case the time is an estimate: the waiting events are taken to be the
/// last ones that were delivered.
async fn oldest(stream: &Stream<()>, info: &Info, parked: &BTreeSet<u64>) -> Result<Option<Time>, OpenError> {
    let given = info.delivered.stream_sequence;
    let waiting = info.num_ack_pending as u64;
    if waiting == 0 {
        return Ok(first_behind(stream, info, given).await.map(|(_, time)| time));
    }
    let floor = info.ack_floor.stream_sequence;
    match first_behind(stream, info, floor).await {
        Some((position, _)) if parked.contains(&position) => {
            let mut behind = given.saturating_sub(waiting).max(position);
            while parked.contains(&(behind + 1)) {
                behind += 1;
            }
            Ok(first_behind(stream, info, behind).await.map(|(_, time)| time))
        }
        first => Ok(first.map(|(_, time)| time)),
    }
}

/// The first event after a position that the durable reads, and when it was stored.
async fn first_behind(stream: &Stream<()>, info: &Info, position: u64) -> Option<(u64, Time)> {
    let mut subjects = info.config.filter_subjects.clone();
    if !info.config.filter_subject.is_empty() {
        subjects.push(info.config.filter_subject.clone());
    }
    // One request instead of one for each lane.
    if Lane::DURABLE.iter().all(|lane| subjects.contains(&format!("chat.*.*.{}", lane.word()))) {
        subjects = vec!["chat.*.*.*".to_owned()];
    }
    let mut first: Option<(u64, Time)> = None;
    for subject in subjects {
        let Ok(found) = stream.get_first_raw_message_by_subject(&subject, position + 1).await else {
            continue;
        };
        if first.is_none_or(|(sequence, _)| found.sequence < sequence) {
            first = Some((found.sequence, Time::of(found.time)));
        }
    }
    first
}
