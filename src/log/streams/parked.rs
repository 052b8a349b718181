//! The streams of parked events: nats-server's reports of events that it has given up on, and the copies through which
//! a consumer gets such events again.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::log::{limits::DUPLICATE_WINDOW, streams::layout::Layout};

/// The stream of nats-server's reports.
pub(in crate::log) const ADVISORIES: &str = "ADVISORIES";
/// The stream of copies.
pub(in crate::log) const REPLAY: &str = "REPLAY";
/// The subjects of copies.
pub(in crate::log) const REPLAYS: &str = "replay.*";
/// The subjects on which nats-server reports that it gives up on an event, up to the stream and the durable.
pub(in crate::log) const GIVEN_UP: [&str; 2] =
    ["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED"];

const DAY: Duration = Duration::from_secs(86_400);

/// The subject of copies for a consumer.
pub(in crate::log) fn replay(name: &str) -> String {
    format!("replay.{name}")
}

pub(in crate::log) fn advisories(layout: Layout) -> Config {
    Config {
        name: ADVISORIES.to_owned(),
        subjects: GIVEN_UP.iter().map(|subject| format!("{subject}.*.*")).collect(),
        description: Some("Verbatim: events that nats-server has given up, by consumer".into()),
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        num_replicas: layout.replicas,
        max_age: 7 * DAY,
        max_messages: 1_000_000,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}

pub(in crate::log) fn replays(layout: Layout) -> Config {
    Config {
        name: REPLAY.to_owned(),
        subjects: vec![REPLAYS.to_owned()],
        description: Some("Verbatim: copies of parked events, for the consumers that asked for them".into()),
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: layout.replicas,
        // A copy that fails is known by its headers, so it lives as long as the report of its failure.
        max_age: 7 * DAY,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}
