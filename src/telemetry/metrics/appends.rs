//! Metrics of writing to the log.

use std::sync::LazyLock;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    group::{Label, StreamLabel, metrics},
    histogram::{BatchSizes, Seconds},
};

/// The metrics of appends.
pub(crate) static APPENDS: LazyLock<AppendMetrics> = LazyLock::new(|| {
    let appends = AppendMetrics::default();
    // A counter that appears with its first failures shows no increase, so an alert on its rate would miss them.
    for reason in ["unavailable", "too_large"] {
        drop(appends.failed.get_or_create(&[("reason", reason)]));
    }
    appends
});

metrics! {
    /// The metrics of appends.
    AppendMetrics {
        /// Time from entering the queue of a stream until an event is stored, in seconds, by stream.
        took: Family<StreamLabel, Seconds> = "append_duration_seconds";
        /// Events that were taken from the queue of a stream at once, by stream.
        batch: Family<StreamLabel, BatchSizes> = "append_batch_size";
        /// Events that were not stored, by reason.
        failed: Family<Label, Counter> = "append_failures";
        /// Events that wait in the queues of all streams, or are in flight to the log.
        waiting: Gauge = "appends_waiting";
    }
}

/// The metrics of the appends to one stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamAppends {
    /// Time until an event is stored.
    pub took: Seconds,
    /// Events that were taken at once.
    pub batch: BatchSizes,
}

impl AppendMetrics {
    /// The metrics of a stream, looked up once.
    pub(crate) fn of(&self, stream: String) -> StreamAppends {
        let label = [("stream", stream)];
        StreamAppends {
            took: self.took.get_or_create(&label).clone(),
            batch: self.batch.get_or_create(&label).clone(),
        }
    }
}
