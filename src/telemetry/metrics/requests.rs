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

/// The statuses of failures of this server.
const FAILURES: [u16; 2] = [500, 503];

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
        let answered =
            |status| self.answered.get_or_create(&([("operation", operation)], [("status", status)]));
        // With the first answer of an operation, its failures are shown too. A counter that appears with its first
        // failures shows no increase, so an alert on its rate would miss them.
        if self.took.get(&[("operation", operation)]).is_none() {
            for failure in FAILURES {
                drop(answered(failure));
            }
        }
        answered(status).inc();
        self.took.get_or_create(&[("operation", operation)]).observe(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_an_operation_are_shown_before_the_first_one() {
        let requests = RequestMetrics::default();
        requests.note("send_message", 201, Duration::from_millis(5));
        let count = |status: u16| {
            let of = ([("operation", "send_message")], [("status", status)]);
            requests.answered.get(&of).map(|counter| counter.get())
        };
        assert_eq!([201, 500, 503, 400].map(count), [Some(1), Some(0), Some(0), None]);
        requests.note("send_message", 503, Duration::from_millis(5));
        assert_eq!(count(503), Some(1));
    }
}
