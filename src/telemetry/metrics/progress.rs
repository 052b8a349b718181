//! Metrics of the servers, and of the lag of each part behind the log. The monitor sets them once a second.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::group::{Label, StreamLabel, metrics};

/// The metrics of progress.
pub(crate) static PROGRESS: LazyLock<ProgressMetrics> = LazyLock::new(ProgressMetrics::default);

/// Whether the monitor has set these metrics once. Until then, `verbatim_nats_up 0` would say that the log cannot be
/// reached, while the process is only starting.
static IS_SET: AtomicBool = AtomicBool::new(false);

/// A gauge with floating-point values.
type Fraction = Gauge<f64, AtomicU64>;

/// A view and a stream.
type ViewLabel = [(&'static str, String); 2];

metrics! {
    /// The metrics of progress.
    ProgressMetrics {
        /// Whether this process reaches the log: 1 if so.
        nats_up: Gauge = "nats_up";
        /// Whether this process reaches Postgres: 1 if so.
        postgres_up: Gauge = "postgres_up";
        /// Connections of this process to Postgres, by state: in_use, idle, and the maximum (max).
        connections: Family<Label, Gauge> = "postgres_connections";
        /// How far the clock of a server is ahead of the clock of this node, in seconds, by server.
        clock_ahead: Family<Label, Fraction> = "clock_ahead_seconds";
        /// Whether the leader of a stream answers: 1 if so.
        stream_up: Family<StreamLabel, Gauge> = "stream_up";
        /// Position of the last event of a stream.
        head: Family<StreamLabel, Gauge> = "stream_position";
        /// How full a stream with a limit is, from 0 to 1.
        full: Family<StreamLabel, Fraction> = "stream_full_ratio";
        /// How much of its space for streams a nats-server uses, from 0 to 1, by server.
        storage: Family<[(&'static str, String); 1], Fraction> = "nats_storage_full_ratio";
        /// Consumers of a stream; nats-server refuses the 1,001st.
        consumers: Family<StreamLabel, Gauge> = "stream_consumers";
        /// Copies of a stream that keep up with its leader, including the leader.
        copies: Family<StreamLabel, Gauge> = "stream_copies";
        /// Copies that a stream should have.
        copies_wanted: Family<StreamLabel, Gauge> = "stream_copies_wanted";
        /// Whether a stream lacks an event: 1 if so.
        hole: Family<StreamLabel, Gauge> = "stream_hole";
        /// Age of the oldest audit event that waits in Postgres for the stream AUDIT, in seconds; 0 if none waits.
        audit_waiting: Fraction = "audit_waiting_seconds";
        /// Time for which the oldest due erasure has waited for a node to hide its content, or since then for the eraser
        /// to delete it from the log, in seconds; 0 if none waits.
        erasure_waiting: Fraction = "erasure_waiting_seconds";
        /// Position up to which this process has followed a stream for its sockets and rosters.
        hub_position: Family<StreamLabel, Gauge> = "hub_position";
        /// Events of a stream that this process has not followed yet.
        hub_lag_events: Family<StreamLabel, Gauge> = "hub_lag_events";
        /// Time for which the log has had the first event that this process has not followed, in seconds.
        hub_lag_seconds: Family<StreamLabel, Fraction> = "hub_lag_seconds";
        /// Position of the projector of this process; only for the streams that it projects.
        projector_position: Family<StreamLabel, Gauge> = "projector_position";
        /// Events of a stream that the projector of this process has not applied to the views.
        projector_lag_events: Family<StreamLabel, Gauge> = "projector_lag_events";
        /// Time for which the log has had the first event that the projector of this process has not applied, in
        /// seconds.
        projector_lag_seconds: Family<StreamLabel, Fraction> = "projector_lag_seconds";
        /// Position up to which a view has applied a stream, whichever process projects it.
        view_position: Family<ViewLabel, Gauge> = "view_position";
        /// Events of a stream that a view lacks.
        view_lag_events: Family<ViewLabel, Gauge> = "view_lag_events";
        /// Time for which the log has had the first event that a view lacks, in seconds. It grows while no projector
        /// works.
        view_lag_seconds: Family<ViewLabel, Fraction> = "view_lag_seconds";
    }
}

/// The position of the projector of one stream. Dropping this value removes the metric; otherwise the metric would
/// stay at its last value for ever once the projector has left its stream to another process.
pub(crate) struct ProjectorPosition {
    stream: String,
    position: Gauge,
}

impl ProjectorPosition {
    pub(crate) fn is_at(&self, position: u64) {
        self.position.set(position.cast_signed());
    }
}

impl Drop for ProjectorPosition {
    fn drop(&mut self) {
        PROGRESS.projector_position.remove(&[("stream", std::mem::take(&mut self.stream))]);
    }
}

impl ProgressMetrics {
    /// Shows these metrics from now on: all of them have been set.
    pub(crate) fn are_set(&self) {
        IS_SET.store(true, Ordering::Release);
    }

    /// Adds these metrics to a registry if they have been set.
    pub(super) fn register_if_set(&self, registry: &mut Registry) {
        if IS_SET.load(Ordering::Acquire) {
            self.register(registry);
        }
    }

    /// Sets the position and the lag of this process in a stream.
    pub(crate) fn set_hub(&self, stream: String, position: u64, (events, seconds): (u64, f64)) {
        let label = [("stream", stream)];
        self.hub_position.get_or_create(&label).set(position.cast_signed());
        self.hub_lag_events.get_or_create(&label).set(events.cast_signed());
        self.hub_lag_seconds.get_or_create(&label).set(seconds);
    }

    /// The position of a projector of this process. The metrics show it until this value is dropped.
    pub(crate) fn projector(&'static self, stream: String) -> ProjectorPosition {
        let position = self.projector_position.get_or_create(&[("stream", stream.clone())]).clone();
        ProjectorPosition { stream, position }
    }

    /// Sets the lag of the projector of this process in a stream, if it has one there. `lag` returns the lag at a
    /// position.
    pub(crate) fn set_projector(&self, stream: String, lag: impl FnOnce(u64) -> (u64, f64)) {
        let label = [("stream", stream)];
        let Some(position) = self.projector_position.get(&label).map(|position| position.get()) else {
            self.projector_lag_events.remove(&label);
            self.projector_lag_seconds.remove(&label);
            return;
        };
        let (events, seconds) = lag(position.cast_unsigned());
        self.projector_lag_events.get_or_create(&label).set(events.cast_signed());
        self.projector_lag_seconds.get_or_create(&label).set(seconds);
    }

    /// Sets the position and the lag of a view in a stream.
    pub(crate) fn set_view(&self, view: &str, stream: String, position: u64, (events, seconds): (u64, f64)) {
        let label = [("view", view.to_owned()), ("stream", stream)];
        self.view_position.get_or_create(&label).set(position.cast_signed());
        self.view_lag_events.get_or_create(&label).set(events.cast_signed());
        self.view_lag_seconds.get_or_create(&label).set(seconds);
    }
}
