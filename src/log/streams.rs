//! The streams. Looking at them and making them are two things: a log that was lost must not come back
//! empty because somebody has asked how it is. They are made once ([`make`]), their settings are put
//! right in place ([`mend`]), and no stream is ever deleted to change a setting.

use std::{collections::HashMap, fmt, time::Duration};

use async_nats::jetstream::{
    Context, ErrorCode,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use uuid::Uuid;

use super::{OpenError, subject};
use crate::domain::Epoch;

/// The stream of presence changes.
pub(super) const PRESENCE: &str = "PRESENCE";
const EPOCH: &str = "verbatim.epoch";
const STREAMS: &str = "verbatim.streams";

/// How long JetStream knows a `Nats-Msg-Id`.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// The most bytes of one event with its headers.
pub const MAX_EVENT_BYTES: i32 = 96 * 1024;
/// The most consumers of a stream: of every node one or two followers and its replays, and the
/// durables of other services.
const MAX_CONSUMERS: i32 = 1_000;

/// How a log is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The number of streams, a power of two from 1 to 256; decided when the log is made.
    pub streams: usize,
    /// Copies of each stream: 1, or 3 and 5 in a cluster.
    pub replicas: usize,
}

/// What an operator says of the layout. What is left open is as the log has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The number of streams.
    pub streams: Option<usize>,
    /// Copies of each stream.
    pub replicas: Option<usize>,
}

impl Wanted {
    /// The layout of a log that is made, with so many streams unless something else is wanted.
    fn or(self, streams: usize) -> Result<Layout, OpenError> {
        let (streams, replicas) = (self.streams.unwrap_or(streams), self.replicas.unwrap_or(1));
        if !streams.is_power_of_two() || streams > 256 {
            return Err(OpenError::Layout(format!(
                "{streams} streams: a power of two from 1 to 256 is needed"
            )));
        }
        Ok(Layout { streams, replicas })
    }
}

/// A setting of a stream that was not as it has to be, and was put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Which stream.
    pub stream: String,
    /// Which setting, as JetStream's API names it.
    pub setting: &'static str,
    /// What it was.
    pub was: String,
    /// What it is now.
    pub is: String,
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, setting, was, is } = self;
        write!(f, "{stream}: {setting} was {was} and is now {is}")
    }
}

/// The streams of a log, as they were found.
pub(super) struct Found {
    pub(super) epoch: Epoch,
    pub(super) layout: Layout,
    infos: Vec<Info>,
}

impl Found {
    /// What is set on a stream with which erasures could never work; it cannot be unset.
    pub(super) fn deny_delete(&self) -> impl Iterator<Item = &str> {
        self.infos.iter().filter(|info| info.config.deny_delete).map(|info| info.config.name.as_str())
    }
}

/// The name of stream `index`.
pub(super) fn name(index: usize) -> String {
    format!("CHAT_{index}")
}

/// Looks at the log that is there and changes nothing.
pub(super) async fn look(jetstream: &Context, wanted: Wanted) -> Result<Found, OpenError> {
    let there = all(jetstream).await?;
    found(there, wanted)
}

/// Makes a log. One whose making was interrupted is made complete; one that has held something and has
/// lost a stream since is not.
pub(super) async fn make(jetstream: &Context, wanted: Wanted, streams: usize) -> Result<Found, OpenError> {
    let there = all(jetstream).await?;
    if there.iter().any(|info| info.state.last_sequence > 0) {
        return found(there, wanted);
    }
    let layout = match identity(&there)? {
        None => wanted.or(streams)?,
        Some((_, streams)) => Wanted { streams: Some(streams), ..wanted }.or(streams)?,
    };
    let epoch = match identity(&there)? {
        None => first(jetstream, layout).await?,
        Some((epoch, _)) => epoch,
    };
    for index in 0..layout.streams {
        if !there.iter().any(|info| info.config.name == name(index)) {
            create(jetstream, chat(index, layout, &epoch)).await?;
        }
    }
    look(jetstream, wanted).await
}

/// Makes the streams that were lost, empty, in a new life of the log.
pub(super) async fn make_what_is_missing(
    jetstream: &Context,
    wanted: Wanted,
    streams: usize,
) -> Result<Found, OpenError> {
    let there = all(jetstream).await?;
    let Some((_, streams)) = identity(&there)? else { return make(jetstream, wanted, streams).await };
    let copies = there.iter().map(|info| info.config.num_replicas).max();
    let layout = Wanted { streams: Some(streams), replicas: wanted.replicas.or(copies) }.or(streams)?;
    let epoch = set_new_epoch(jetstream, &there).await?;
    for index in 0..layout.streams {
        if !there.iter().any(|info| info.config.name == name(index)) {
            create(jetstream, chat(index, layout, &epoch)).await?;
        }
    }
    look(jetstream, wanted).await
}

/// Begins a new life of a log at the same positions. When it is interrupted, the epochs of the streams
/// differ, and no node opens such a log: it is to be done again. A log that has lost a stream is refused, or
/// the loss would no longer be seen by the epoch.
pub(super) async fn begin_epoch(jetstream: &Context) -> Result<Epoch, OpenError> {
    let there = all(jetstream).await?;
    let (_, streams) = there.iter().find_map(stated).ok_or(OpenError::NoLog)?;
    none_is_missing(&there, streams)?;
    set_new_epoch(jetstream, &there).await
}

async fn set_new_epoch(jetstream: &Context, there: &[Info]) -> Result<Epoch, OpenError> {
    let epoch = new_epoch();
    for info in there {
        let mut config = info.config.clone();
        config.metadata.insert(EPOCH.to_owned(), epoch.to_string());
        update(jetstream, config).await?;
    }
    Ok(epoch)
}

/// Puts those settings right that are ours and wrong, and leaves all others as an operator has set them.
pub(super) async fn mend(
    jetstream: &Context,
    Found { epoch, layout, infos }: Found,
) -> Result<Vec<Mended>, OpenError> {
    let mut all = Vec::new();
    for (index, info) in infos.into_iter().enumerate() {
        let (config, mended) = put_right(info.config, chat(index, layout, &epoch));
        if !mended.is_empty() {
            update(jetstream, config).await?;
        }
        all.extend(mended);
    }
    Ok(all)
}

/// Makes the stream of presence changes, which is in memory and goes with its server.
pub(super) async fn make_presence(jetstream: &Context, layout: Layout) -> Result<(), OpenError> {
    jetstream.create_or_update_stream(presence(layout.replicas)).await.map(drop).map_err(refused)
}

/// The streams of a log that are there, by number.
async fn all(jetstream: &Context) -> Result<Vec<Info>, OpenError> {
    let mut there = Vec::new();
    let mut streams = 1;
    let mut index = 0;
    while index < streams {
        match jetstream.get_stream(name(index)).await {
            Ok(stream) => {
                let info = stream.cached_info().clone();
                streams = streams.max(stated(&info).map_or(1, |(_, streams)| streams));
                there.push(info);
            }
            // Where the first one is lost, another one tells how many there were.
            Err(e) if is_not_found(e.kind()) && there.is_empty() => streams = (index + 2).min(256),
            Err(e) if is_not_found(e.kind()) => {}
            Err(e) => return Err(refused(e)),
        }
        index += 1;
    }
    Ok(there)
}

pub(super) fn is_not_found(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The epoch and the number of streams that a stream's metadata state.
fn stated(info: &Info) -> Option<(Epoch, usize)> {
    let metadata = &info.config.metadata;
    let streams = metadata.get(STREAMS).and_then(|n| n.parse().ok());
    metadata.get(EPOCH).map(|epoch| Epoch(epoch.clone())).zip(streams)
}

/// The same of all streams, which have to agree; `None` if there are none.
fn identity(there: &[Info]) -> Result<Option<(Epoch, usize)>, OpenError> {
    let mut one = None;
    for info in there {
        let stream = &info.config.name;
        let Some(stated) = stated(info) else {
            return Err(OpenError::Layout(format!(
                "the stream {stream} exists and is not ours: it has no {EPOCH}"
            )));
        };
        if *one.get_or_insert_with(|| stated.clone()) != stated {
            return Err(OpenError::Layout(format!(
                "the streams of the log do not belong together: {stream} is of another epoch than {}. If they were \
                 restored from different backups, see \"Disasters\" in deploy/README.md; then run `verbatim log begin-epoch`",
                there[0].config.name
            )));
        }
    }
    Ok(one)
}

/// The log, if all of it is there and it is as wanted. A forgotten setting must not take copies away.
fn found(there: Vec<Info>, wanted: Wanted) -> Result<Found, OpenError> {
    let Some((epoch, streams)) = identity(&there)? else { return Err(OpenError::NoLog) };
    if let Some(other) = wanted.streams.filter(|wanted| *wanted != streams) {
        return Err(OpenError::Layout(format!(
            "the log was made with {streams} streams and is asked for {other}: set VERBATIM_STREAMS={streams}"
        )));
    }
    none_is_missing(&there, streams)?;
    let copies = there.iter().map(|info| info.config.num_replicas).max().unwrap_or(1);
    if let Some(fewer) = wanted.replicas.filter(|wanted| *wanted < copies) {
        return Err(OpenError::Layout(format!(
            "the log has {copies} copies and is asked for {fewer}: set VERBATIM_REPLICAS={copies}, or take copies away with `nats stream edit` first"
        )));
    }
    let layout = Layout { streams, replicas: wanted.replicas.unwrap_or(copies) };
    Ok(Found { epoch, layout, infos: there })
}

fn none_is_missing(there: &[Info], streams: usize) -> Result<(), OpenError> {
    let is_there = |index: &usize| there.iter().any(|info| info.config.name == name(*index));
    let missing: Vec<String> = (0..streams).filter(|index| !is_there(index)).map(name).collect();
    if missing.is_empty() { Ok(()) } else { Err(OpenError::Missing(missing.join(", "))) }
}

/// Makes the first stream with a new epoch; if another process was faster, its epoch holds.
async fn first(jetstream: &Context, layout: Layout) -> Result<Epoch, OpenError> {
    let epoch = new_epoch();
    create(jetstream, chat(0, layout, &epoch)).await?;
    let there = all(jetstream).await?;
    identity(&there)?.map(|(epoch, _)| epoch).ok_or(OpenError::NoLog)
}

fn new_epoch() -> Epoch {
    Epoch(Uuid::now_v7().simple().to_string())
}

/// Makes a stream. It is no error if another process has been faster.
async fn create(jetstream: &Context, config: Config) -> Result<(), OpenError> {
    match jetstream.create_stream(config).await {
        Err(e) if !is_name_taken(e.kind()) => Err(refused(e)),
        _ => Ok(()),
    }
}

fn is_name_taken(kind: CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

async fn update(jetstream: &Context, config: Config) -> Result<(), OpenError> {
    jetstream.update_stream(config).await.map(drop).map_err(refused)
}

fn refused(e: impl fmt::Display) -> OpenError {
    OpenError::Streams(e.to_string())
}

/// The configuration with the settings that are ours as they have to be, and which of them were not.
fn put_right(mut config: Config, mut ours: Config) -> (Config, Vec<Mended>) {
    // The server adds metadata of its own, and the order of subjects means nothing.
    for (name, value) in &config.metadata {
        ours.metadata.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let sorted = |subjects: &[String]| {
        let mut sorted = subjects.to_vec();
        sorted.sort_unstable();
        sorted
    };
    if sorted(&config.subjects) == sorted(&ours.subjects) {
        ours.subjects.clone_from(&config.subjects);
    }
    // How many there may be is the operator's business, so long as there is a limit.
    if config.max_consumers > 0 {
        ours.max_consumers = config.max_consumers;
    }
    let mut mended = Vec::new();
    macro_rules! put_right {
        ($($setting:ident),+) => {$(
            if config.$setting != ours.$setting {
                mended.push(Mended {
                    stream: config.name.clone(),
                    setting: stringify!($setting),
                    was: format!("{:?}", config.$setting),
                    is: format!("{:?}", ours.$setting),
                });
                config.$setting = ours.$setting;
            }
        )+};
    }
    put_right!(
        subjects,
        retention,
        discard,
        storage,
        num_replicas,
        max_age,
        max_messages_per_subject,
        max_message_size,
        duplicate_window,
        max_consumers,
        deny_purge,
        allow_direct,
        allow_atomic_publish,
        allow_message_ttl,
        metadata
    );
    (config, mended)
}

fn chat(index: usize, layout: Layout, epoch: &Epoch) -> Config {
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
        ]),
        ..Config::default()
    }
}

fn presence(replicas: usize) -> Config {
    Config {
        name: PRESENCE.to_owned(),
        subjects: vec![subject::ALL_PRESENCE.to_owned()],
        description: Some("Verbatim: who came and went in the last hour".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::Memory,
        num_replicas: replicas,
        max_age: Duration::from_secs(3600),
        // Reserved by the server whatever is used. Followers read at once; the oldest goes when it is full.
        max_bytes: 16 << 20,
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { streams: 4, replicas: 1 };

    #[test]
    fn what_an_operator_has_set_stays_and_what_is_ours_is_put_right() {
        let ours = chat(2, LAYOUT, &Epoch("one".into()));
        let mut found = Config { max_bytes: 7 << 30, deny_delete: true, allow_direct: false, ..ours.clone() };
        found.metadata.insert("_nats.ver".into(), "2.15.1".into());
        found.subjects.reverse();
        let (config, mended) = put_right(found.clone(), ours);
        assert_eq!(config, Config { allow_direct: true, ..found });
        let told: Vec<String> = mended.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["CHAT_2: allow_direct was false and is now true"]);
    }

    #[test]
    fn what_is_right_is_left_alone() {
        let ours = chat(0, LAYOUT, &Epoch("one".into()));
        assert_eq!(put_right(ours.clone(), ours.clone()), (ours, Vec::new()));
    }
}
