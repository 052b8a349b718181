//! The durables of consumers, one on each stream that a consumer reads, all of its name.

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
        errors::refused,
        streams::{
            layout::{self, AUDIT},
            parked,
        },
        subject,
    },
};

/// The metadata by which a durable is known again: the name of its consumer, and a hash of what it reads.
const CONSUMER: &str = "verbatim.consumer";
const FILTER: &str = "verbatim.filter";
/// How long a process may be silent before an event is given again. nats-server takes the first of the waits below instead,
/// as its answer to the creation says.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// The waits before an event is given again.
const BACKOFF: [u64; 5] = [1, 5, 30, 120, 600];
/// How often an event is given at most. After that it is parked.
const DELIVERIES: i64 = 10;
/// The one group of processes of an exclusive consumer: nats-server gives events to one process of a group.
pub(crate) const GROUP: &str = "one";
/// How long the process that reads may ask for nothing before another one takes over.
const TAKE_OVER: Duration = Duration::from_secs(30);
/// How many events may wait for their acknowledgement.
const PENDING: i64 = 1_000;

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartAt {
    /// At the first event.
    First,
    /// Behind the last event.
    Now,
    /// At a position of each stream.
    Position(u64),
    /// At the first event that was stored at a time or later.
    Time(Time),
}

/// A durable as it is to be made.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerDurable {
    /// The stream.
    pub stream: String,
    /// What it reads there.
    pub subjects: Vec<String>,
}

/// What all durables of a consumer have in common.
#[derive(Debug, Clone)]
pub(crate) struct Durables<'a> {
    /// The name of the consumer.
    pub name: &'a str,
    /// A hash of what it reads.
    pub filter: &'a str,
    /// Where it begins.
    pub from: StartAt,
    /// Whether one process of the consumer reads at a time.
    pub is_exclusive: bool,
}

/// What a look at a durable finds.
pub(crate) enum FoundDurable {
    /// There is none.
    None,
    /// It reads the same.
    Same,
    /// It is somebody else's, or reads something else.
    Other,
}

/// How far a consumer has come in one stream.
#[derive(Debug, Clone)]
pub(crate) struct DurableState {
    /// Events that it has not acknowledged.
    pub lag: u64,
    /// Since when the oldest of them lies in the log.
    pub waits_since: Option<Time>,
    /// Events that were given more than once and are not acknowledged.
    pub redelivered: u64,
    /// When it was given an event, or has acknowledged one, the last time.
    pub last_active: Option<Time>,
    /// When it has acknowledged the last time.
    pub acknowledged: Option<Time>,
    /// Requests for events that wait.
    pub waiting: usize,
    /// When the durable was made.
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

    /// The durable by which a consumer gets parked events again.
    pub(crate) fn durable_of_replays(&self, name: &str) -> ConsumerDurable {
        ConsumerDurable { stream: parked::REPLAY.into(), subjects: vec![parked::replay(name)] }
    }

    /// Looks at the durable of a consumer on a stream.
    pub(crate) async fn durable(&self, of: &Durables<'_>, stream: &str) -> Result<FoundDurable, OpenError> {
        let Some(found) = self.durable_info(of.name, stream).await? else { return Ok(FoundDurable::None) };
        let has = |key: &str, value: &str| found.config.metadata.get(key).is_some_and(|has| has == value);
        match has(CONSUMER, of.name) && has(FILTER, of.filter) {
            true => Ok(FoundDurable::Same),
            false => Ok(FoundDurable::Other),
        }
    }

    /// Makes a durable. The server is asked to make and not to change one, so it never harms one that is there.
    pub(crate) async fn make_durable(
        &self,
        of: &Durables<'_>,
        durable: &ConsumerDurable,
    ) -> Result<(), OpenError> {
        let is_replay = durable.stream == parked::REPLAY;
        let config = pull::Config {
            durable_name: Some(of.name.to_owned()),
            filter_subjects: durable.subjects.clone(),
            deliver_policy: match of.from {
                // Copies that wait are new to it, wherever it begins.
                _ if is_replay => DeliverPolicy::All,
                StartAt::First => DeliverPolicy::All,
                StartAt::Now => DeliverPolicy::New,
                StartAt::Position(0) => DeliverPolicy::All,
                StartAt::Position(position) => DeliverPolicy::ByStartSequence { start_sequence: position },
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
            Err(e) if !e.to_string().contains("not found") => Err(refused(e)),
            _ => Ok(()),
        }
    }

    /// How far the durable of a name has come in a stream; `None` without one. `parked` has the positions of the stream
    /// that nats-server has given up.
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
/// The floor of acknowledgements tells it, but stands still at an event that was parked until nothing waits for its
/// acknowledgement any more. Behind such an event, the oldest of those that wait is taken to be so far behind the last one
/// that was given as there are.
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

/// The first event behind a position that the durable reads, and when it was stored.
async fn first_behind(stream: &Stream<()>, info: &Info, position: u64) -> Option<(u64, Time)> {
    let mut subjects = info.config.filter_subjects.clone();
    if !info.config.filter_subject.is_empty() {
        subjects.push(info.config.filter_subject.clone());
    }
    // One question instead of one for each lane.
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
