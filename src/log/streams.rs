//! The streams: made and updated in place at start, never deleted to change a setting.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    Context,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
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

/// How the log is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The number of streams, a power of two from 1 to 256; decided when the log is made.
    pub streams: usize,
    /// Copies of each stream: 1, or 3 and 5 in a cluster.
    pub replicas: usize,
}

/// The name of stream `index`.
pub(super) fn name(index: usize) -> String {
    format!("CHAT_{index}")
}

/// Makes what is missing, brings settings up to date and answers the epoch.
pub(super) async fn open(jetstream: &Context, layout: Layout) -> Result<Epoch, OpenError> {
    let Layout { streams, replicas } = layout;
    if !streams.is_power_of_two() || streams > 256 {
        return Err(OpenError::Layout(format!("{streams} streams: a power of two from 1 to 256 is needed")));
    }
    let epoch = match existing(jetstream, layout).await? {
        Some(found) => found,
        None => first(jetstream, layout).await?,
    };
    let (epoch, made_with) = epoch;
    if made_with != streams {
        return Err(OpenError::Layout(format!(
            "the log was made with {made_with} streams and is asked for {streams}: set VERBATIM_STREAMS={made_with}"
        )));
    }
    for index in 0..streams {
        let config = chat(index, layout, &epoch);
        jetstream.create_or_update_stream(config).await.map_err(|e| OpenError::Streams(e.to_string()))?;
    }
    let presence = presence(replicas);
    jetstream.create_or_update_stream(presence).await.map_err(|e| OpenError::Streams(e.to_string()))?;
    Ok(epoch)
}

/// The epoch and number of streams of the log that is there. A forgotten setting must not take
/// copies away from it.
async fn existing(jetstream: &Context, layout: Layout) -> Result<Option<(Epoch, usize)>, OpenError> {
    let stream = match jetstream.get_stream(name(0)).await {
        Ok(stream) => stream,
        Err(e) => {
            return match e.kind() {
                GetStreamErrorKind::JetStream(inner)
                    if inner.error_code() == async_nats::jetstream::ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(OpenError::Streams(e.to_string())),
            };
        }
    };
    let copies = stream.cached_info().config.num_replicas;
    if copies > layout.replicas {
        return Err(OpenError::Layout(format!(
            "the log has {copies} copies and is asked for {}: set VERBATIM_REPLICAS={copies}, or take copies away with `nats stream edit` first",
            layout.replicas
        )));
    }
    let metadata = &stream.cached_info().config.metadata;
    let found = metadata.get(EPOCH).zip(metadata.get(STREAMS).and_then(|n| n.parse().ok()));
    found.map(|(epoch, n)| Some((Epoch(epoch.clone()), n))).ok_or_else(|| {
        OpenError::Layout(format!("the stream {} exists and is not ours: it has no {EPOCH}", name(0)))
    })
}

/// Makes the first stream with a new epoch; if another process was faster, its epoch holds.
async fn first(jetstream: &Context, layout: Layout) -> Result<(Epoch, usize), OpenError> {
    let epoch = Epoch(Uuid::now_v7().simple().to_string()[..].to_owned());
    match jetstream.create_stream(chat(0, layout, &epoch)).await {
        Ok(_) => Ok((epoch, layout.streams)),
        Err(e) if matches!(e.kind(), CreateStreamErrorKind::JetStream(_)) => {
            existing(jetstream, layout).await?.ok_or_else(|| OpenError::Streams(e.to_string()))
        }
        Err(e) => Err(OpenError::Streams(e.to_string())),
    }
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
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
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
        max_bytes: 64 << 20,
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}
