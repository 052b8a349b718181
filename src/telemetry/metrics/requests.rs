//! Metrics of requests, over HTTP and over NATS.

use std::{sync::LazyLock, time::Duration};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{
    group::{Label, metrics},
    histogram::Seconds,
};

/// The metrics of requests.
pub(crate) static REQUESTS: LazyLock<RequestMetrics> = LazyLock::new(RequestMetrics::default);

/// An operation, and the status of its answer.
type Answered = ([(&'static str, &'static str); 1], [(&'static str, u16); 1]);

metrics! {
    /// The metrics of requests.
    RequestMetrics {
        /// Requests that were answered, by operation and status.
        answered: Family<Answered, Counter> = "http_requests";
        /// Time from the head of a request to the head of its answer, in seconds, by operation.
        took: Family<Label, Seconds> = "http_request_duration_seconds";
        /// Requests whose answer has not begun.
        in_flight: Gauge = "http_requests_in_flight";
    }
}

impl RequestMetrics {
    /// Counts an answer.
    pub(crate) fn note(&self, operation: &'static str, status: u16, took: Duration) {
        self.answered.get_or_create(&([("operation", operation)], [("status", status)])).inc();
        self.took.get_or_create(&[("operation", operation)]).observe(took);
    }
}
