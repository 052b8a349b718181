//! Metrics of sockets, from the handshake to the close.

use std::sync::LazyLock;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    group::{Label, metrics},
    histogram::Seconds,
};

/// The metrics of sockets.
pub(crate) static SOCKETS: LazyLock<SocketMetrics> = LazyLock::new(|| {
    let sockets = SocketMetrics::default();
    // The results that an alert watches: a counter that appears with its first failures shows no increase.
    for result in ["opened", "at_capacity", "unavailable"] {
        drop(sockets.handshakes.get_or_create(&[("result", result)]));
    }
    sockets
});

/// A close code, and its reason as a word.
type Closed = ([(&'static str, u16); 1], [(&'static str, &'static str); 1]);

metrics! {
    /// The metrics of sockets.
    SocketMetrics {
        /// Handshakes, by result.
        handshakes: Family<Label, Counter> = "handshakes";
        /// Time of a handshake with the check of its token, in seconds.
        handshake_took: Seconds = "handshake_duration_seconds";
        /// Sockets, by state: opening before their hello, beginning while they catch up, and live.
        states: Family<Label, Gauge> = "socket_states";
        /// Closed sockets, by code and reason; 1006 is a lost connection.
        closes: Family<Closed, Counter> = "socket_closes";
        /// Frames of clients, by op.
        frames: Family<Label, Counter> = "frames_received";
        /// Finished resumes, by result.
        resumed: Family<Label, Counter> = "resume_results";
        /// Time of a resume from its cursor until the session is live, in seconds.
        resume_took: Seconds = "resume_duration_seconds";
        /// Bytes of frames that wait for slow clients.
        backlog: Gauge = "socket_backlog_bytes";
        /// Presence changes that were announced to a conversation.
        presence_told: Counter = "presence_announcements";
        /// Entries of presence for which the bucket had no room.
        presence_refused: Counter = "presence_refusals";
    }
}

/// Adds one to a gauge until it is dropped.
pub(crate) struct OneMore(Gauge);

impl SocketMetrics {
    /// Counts a socket in a state.
    pub(crate) fn in_state(&self, state: &'static str) -> OneMore {
        OneMore::of(&self.states.get_or_create(&[("state", state)]))
    }

    /// Counts a frame of a client.
    pub(crate) fn frame(&self, op: &'static str) {
        self.frames.get_or_create(&[("op", op)]).inc();
    }

    /// Counts a close.
    pub(crate) fn closed(&self, code: u16, reason: &'static str) {
        self.closes.get_or_create(&([("code", code)], [("reason", reason)])).inc();
    }
}

impl OneMore {
    pub(crate) fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.dec();
    }
}
