//! The streams. Inspecting them and creating them are separate: a lost log must not come back empty because a command
//! has inspected it. Streams are created once (`make`), and no stream is ever deleted to change a setting.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    Context, ErrorCode,
    context::GetStreamErrorKind,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};

use crate::{
    domain::Epoch,
    log::{
        errors::{OpenError, refused},
        level,
        limits::{DUPLICATE_WINDOW, MAX_EVENT_BYTES},
        streams::{former, maker::Maker},
        subject,
    },
};

/// The stream of audit events.
pub(in crate::log) const AUDIT: &str = "AUDIT";
/// The stream of presence changes.
pub(in crate::log) const PRESENCE: &str = "PRESENCE";
pub(in crate::log) const EPOCH: &str = "verbatim.epoch";
const STREAMS: &str = "verbatim.streams";

/// The most consumers of a stream: for every node one or two followers and its replays, and the durables of other
/// services.
pub(in crate::log) const MAX_CONSUMERS: i32 = 1_000;

/// How a log is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The number of streams, a power of two from 1 to 256; decided when the log is created.
    pub streams: usize,
    /// Copies of each stream: 1, or 3 and 5 in a cluster.
    pub replicas: usize,
}

/// The layout that an operator asks for. A setting that is left open is taken from the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The number of streams.
    pub streams: Option<usize>,
    /// Copies of each stream.
    pub replicas: Option<usize>,
}

impl Wanted {
    /// The layout of a new log, with this number of streams unless the operator asks for another one.
    fn or(self, streams: usize) -> Result<Layout, OpenError> {
        let (streams, replicas) = (self.streams.unwrap_or(streams), self.replicas.unwrap_or(1));
        if !streams.is_power_of_two() || streams > 256 {
            return Err(OpenError::Layout(format!(
                "{streams} streams: expected a power of two from 1 to 256"
            )));
        }
        Ok(Layout { streams, replicas })
    }
}

/// The streams of a log, as they were found.
pub(in crate::log) struct Found {
    pub(in crate::log) epoch: Epoch,
    /// The epochs before it.
    pub(in crate::log) former: Vec<Epoch>,
    pub(in crate::log) layout: Layout,
    pub(in crate::log) infos: Vec<Info>,
}

impl Found {
    /// The streams with `deny_delete`, which cannot be unset and makes erasures impossible.
    pub(in crate::log) fn deny_delete(&self) -> impl Iterator<Item = &str> {
        self.infos.iter().filter(|info| info.config.deny_delete).map(|info| info.config.name.as_str())
    }
}

/// The name of stream `index`.
pub(in crate::log) fn name(index: usize) -> String {
    format!("CHAT_{index}")
}

/// The index of the stream with this name, if a log can have such a stream.
pub(in crate::log) fn index(stream: &str) -> Option<usize> {
    let index = stream.strip_prefix("CHAT_")?.parse().ok()?;
    (name(index) == stream).then_some(index)
}

/// Inspects the existing log and changes nothing.
pub(in crate::log) async fn look(jetstream: &Context, wanted: Wanted) -> Result<Found, OpenError> {
    let there = all(jetstream).await?;
    found(there, wanted)
}

/// The same for a log that is being restored, which nobody else may read.
pub(in crate::log) async fn look_at_restored(jetstream: &Context) -> Result<Found, OpenError> {
    found(all_that(jetstream, |_| Ok(())).await?, Wanted::default())
}

/// Creates a log, or the rest of a log whose creation was interrupted. A log that has held events and has lost a stream
/// is not completed: that would hide the loss.
pub(in crate::log) async fn make(maker: &Maker, wanted: Wanted, streams: usize) -> Result<Found, OpenError> {
    let there = all(&maker.jetstream).await?;
    if there.iter().any(|info| info.state.last_sequence > 0) {
        return found(there, wanted);
    }
    let layout = match identity(&there)? {
        None => wanted.or(streams)?,
        Some((_, streams)) => Wanted { streams: Some(streams), ..wanted }.or(streams)?,
    };
    let epoch = match identity(&there)? {
        None => first(maker, layout).await?,
        Some((epoch, _)) => epoch,
    };
    for index in 0..layout.streams {
        if !there.iter().any(|info| info.config.name == name(index)) {
            maker.create(chat(index, layout, &epoch)).await?;
        }
    }
    look(&maker.jetstream, wanted).await
}

/// Creates the streams that were lost, as empty streams, in a new epoch. If all are lost, there will be as many as the
/// operator wants, or else `streams`. `known` are the epochs that the database knows, the latest one last.
pub(in crate::log) async fn make_what_is_missing(
    maker: &Maker,
    wanted: Wanted,
    streams: Option<usize>,
    known: Vec<Epoch>,
) -> Result<Found, OpenError> {
    let mut there = all(&maker.jetstream).await?;
    if identity(&there)?.is_none() {
        let streams = wanted.streams.or(streams).ok_or_else(|| {
            OpenError::Layout(
                "all streams of the log are lost, and the views do not say how many there were: set VERBATIM_STREAMS to \
                 their number"
                    .into(),
            )
        })?;
        there = make(maker, wanted, streams).await?.infos;
    }
    let (_, streams) = identity(&there)?.ok_or(OpenError::NoLog)?;
    let copies = there.iter().map(|info| info.config.num_replicas).max();
    let layout = Wanted { streams: Some(streams), replicas: wanted.replicas.or(copies) }.or(streams)?;
    let (epoch, former) = set_new_epoch(maker, &there, known).await?;
    for index in 0..layout.streams {
        if !there.iter().any(|info| info.config.name == name(index)) {
            let mut config = chat(index, layout, &epoch);
            former::note(&mut config, &former);
            maker.create(config).await?;
        }
    }
    look(&maker.jetstream, wanted).await
}

/// Begins a new epoch of a log at the same positions. After an interruption the epochs of the streams differ, and no
/// node opens such a log; the operator repeats the command. A log that has lost a stream is refused, because afterwards
/// the epoch would no longer show the loss. `known` are the epochs that the database knows, the latest one last.
pub(in crate::log) async fn begin_epoch(maker: &Maker, known: Vec<Epoch>) -> Result<Epoch, OpenError> {
    let there = all(&maker.jetstream).await?;
    let (_, streams) = there.iter().find_map(stated).ok_or(OpenError::NoLog)?;
    none_is_missing(&there, streams)?;
    set_new_epoch(maker, &there, known).await.map(|(epoch, _)| epoch)
}

/// Begins a new epoch in these streams. The epochs that they have until then, and those that the database knows, become
/// former epochs, which are returned too.
async fn set_new_epoch(
    maker: &Maker,
    there: &[Info],
    known: Vec<Epoch>,
) -> Result<(Epoch, Vec<Epoch>), OpenError> {
    let epoch = new_epoch();
    let last = there.iter().filter_map(stated).map(|(epoch, _)| epoch);
    let former = former::once(former::former(there).into_iter().chain(known).chain(last));
    for info in there {
        let mut config = info.config.clone();
        config.metadata.insert(EPOCH.to_owned(), epoch.to_string());
        former::note(&mut config, &former);
        maker.update(config).await?;
    }
    Ok((epoch, former))
}

/// Creates the stream of presence changes, which is in memory and is lost with its server.
pub(in crate::log) async fn make_presence(maker: &Maker, layout: Layout) -> Result<(), OpenError> {
    maker.create(presence(layout.replicas)).await
}

/// The existing streams of a log, by number.
async fn all(jetstream: &Context) -> Result<Vec<Info>, OpenError> {
    // A restore creates AUDIT before all others, and may have been interrupted then.
    match jetstream.get_stream(AUDIT).await {
        Ok(audit) => is_not_being_restored(audit.cached_info())?,
        Err(e) if is_not_found(e.kind()) => {}
        Err(e) => return Err(refused(e)),
    }
    all_that(jetstream, may_read).await
}

async fn all_that(
    jetstream: &Context,
    may_read: fn(&Info) -> Result<(), OpenError>,
) -> Result<Vec<Info>, OpenError> {
    let mut there = Vec::new();
    let mut streams = 1;
    let mut index = 0;
    while index < streams {
        match jetstream.get_stream(name(index)).await {
            Ok(stream) => {
                let info = stream.cached_info().clone();
                may_read(&info)?;
                streams = streams.max(stated(&info).map_or(1, |(_, streams)| streams));
                there.push(info);
            }
            // If the first stream is lost, another one says how many there were.
            Err(e) if is_not_found(e.kind()) && there.is_empty() => streams = (index + 2).min(256),
            Err(e) if is_not_found(e.kind()) => {}
            Err(e) => return Err(refused(e)),
        }
        index += 1;
    }
    Ok(there)
}

/// Whether this version may read a stream. A stream from before the contract had levels says nothing, and has
/// nothing that the first level could not read.
fn may_read(info: &Info) -> Result<(), OpenError> {
    is_not_being_restored(info)?;
    match info.config.metadata.get(level::READS) {
        Some(needed) if needed.parse().is_ok_and(|level: u32| level <= level::CONTRACT.reads) => Ok(()),
        Some(needed) => Err(OpenError::TooOld { stream: info.config.name.clone(), needed: needed.clone() }),
        None => Ok(()),
    }
}

/// Refuses a stream that a restore has begun and not finished.
fn is_not_being_restored(info: &Info) -> Result<(), OpenError> {
    match info.config.metadata.get(level::READS) {
        Some(needed) if needed == level::RESTORING => Err(OpenError::Restoring(info.config.name.clone())),
        _ => Ok(()),
    }
}

pub(in crate::log) fn is_not_found(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The epoch and the number of streams that a stream's metadata state.
fn stated(info: &Info) -> Option<(Epoch, usize)> {
    let metadata = &info.config.metadata;
    let streams = metadata.get(STREAMS).and_then(|n| n.parse().ok());
    metadata.get(EPOCH).map(|epoch| Epoch(epoch.clone())).zip(streams)
}

/// The epoch and the number of streams of the whole log, on which all streams have to agree; `None` without streams.
fn identity(there: &[Info]) -> Result<Option<(Epoch, usize)>, OpenError> {
    let mut one = None;
    for info in there {
        let stream = &info.config.name;
        let Some(stated) = stated(info) else {
            return Err(OpenError::Layout(format!(
                "the stream {stream} exists but does not belong to Verbatim: it has no {EPOCH}"
            )));
        };
        if *one.get_or_insert_with(|| stated.clone()) != stated {
            return Err(OpenError::Layout(format!(
                "the streams of the log do not belong together: {stream} has a different epoch than {}. If they were \
                 restored from different backups, see deploy/DISASTERS.md; then run `verbatim log begin-epoch`",
                there[0].config.name
            )));
        }
    }
    Ok(one)
}

/// The log, if it is complete and as wanted. A forgotten setting must not remove replicas.
fn found(there: Vec<Info>, wanted: Wanted) -> Result<Found, OpenError> {
    let Some((epoch, streams)) = identity(&there)? else { return Err(OpenError::NoLog) };
    if let Some(other) = wanted.streams.filter(|wanted| *wanted != streams) {
        return Err(OpenError::Layout(format!(
            "the log has {streams} streams, but {other} are configured: set VERBATIM_STREAMS={streams}"
        )));
    }
    none_is_missing(&there, streams)?;
    let copies = there.iter().map(|info| info.config.num_replicas).max().unwrap_or(1);
    if let Some(fewer) = wanted.replicas.filter(|wanted| *wanted < copies) {
        return Err(OpenError::Layout(format!(
            "the log has {copies} replicas, but {fewer} are configured: set VERBATIM_REPLICAS={copies}, or remove replicas \
             with `nats stream edit` first"
        )));
    }
    let layout = Layout { streams, replicas: wanted.replicas.unwrap_or(copies) };
    Ok(Found { epoch, former: former::former(&there), layout, infos: there })
}

fn none_is_missing(there: &[Info], streams: usize) -> Result<(), OpenError> {
    let is_there = |index: &usize| there.iter().any(|info| info.config.name == name(*index));
    let missing: Vec<String> = (0..streams).filter(|index| !is_there(index)).map(name).collect();
    if missing.is_empty() { Ok(()) } else { Err(OpenError::Missing(missing.join(", "))) }
}

/// Creates the first stream with a new epoch; if another process was faster, its epoch holds.
async fn first(maker: &Maker, layout: Layout) -> Result<Epoch, OpenError> {
    let epoch = new_epoch();
    maker.create(chat(0, layout, &epoch)).await?;
    let there = all(&maker.jetstream).await?;
    identity(&there)?.map(|(epoch, _)| epoch).ok_or(OpenError::NoLog)
}

/// A new epoch for a log.
pub(in crate::log) fn new_epoch() -> Epoch {
    Epoch(crate::clock::name().simple().to_string())
}

pub(in crate::log) fn chat(index: usize, layout: Layout, epoch: &Epoch) -> Config {
    Config {
        name: name(index),
        subjects: subject::of_stream(index, layout.streams),
        description: Some("Verbatim: what has happened in the conversations".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: layout.replicas,
        max_messages_per_subject: -1,
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        max_consumers: MAX_CONSUMERS,
        deny_purge: true,
        allow_direct: true,
        allow_atomic_publish: true,
        metadata: HashMap::from([
            (EPOCH.to_owned(), epoch.to_string()),
            (STREAMS.to_owned(), layout.streams.to_string()),
            (level::READS.to_owned(), level::CONTRACT.writes.to_string()),
        ]),
        ..Config::default()
    }
}

pub(in crate::log) fn presence(replicas: usize) -> Config {
    Config {
        name: PRESENCE.to_owned(),
        subjects: vec![subject::ALL_PRESENCE.to_owned()],
        description: Some("Verbatim: who came and went in the last hour".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::Memory,
        num_replicas: replicas,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_age: Duration::from_secs(3600),
        // The server reserves all of it, however little is used. Followers read immediately; when the stream is full,
        // the oldest messages go.
        max_bytes: 16 << 20,
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}
