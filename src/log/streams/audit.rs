//! The stream of audit events. Nothing is ever deleted from it: audit events have no text of a person, so none of them
//! has to be erased, and an intruder with an operator's password cannot remove the traces.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::log::{
    limits::{DUPLICATE_WINDOW, MAX_EVENT_BYTES},
    streams::layout::{AUDIT, Layout, MAX_CONSUMERS},
};

pub(in crate::log) fn audit(layout: Layout) -> Config {
    Config {
        name: AUDIT.to_owned(),
        subjects: vec!["audit.*.*".to_owned()],
        description: Some("Verbatim: what has happened to accounts, keys and issuers".into()),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: layout.replicas,
        max_messages_per_subject: -1,
        max_message_size: MAX_EVENT_BYTES,
        duplicate_window: DUPLICATE_WINDOW,
        max_consumers: MAX_CONSUMERS,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}
