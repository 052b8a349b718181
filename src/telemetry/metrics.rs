//! The metrics of this process. `docs/metrics.md` explains each one to operators.
//!
//! Frequent events are counted by atomics: the labels of a stream, a cache or a socket's state are looked up once, and
//! the look-up for an operation or an op reads a small table. Labels have values from fixed lists, or name streams,
//! views, webhooks and consumers, so their number is bounded.

mod appends;
mod caches;
mod group;
mod histogram;
mod process;
mod progress;
mod requests;
mod sockets;

use std::sync::LazyLock;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

pub(crate) use appends::{APPENDS, StreamAppends};
pub(crate) use caches::{CACHES, OneCache};
pub(crate) use process::PROCESS;
pub(super) use process::begins;
pub(crate) use progress::PROGRESS;
pub(crate) use requests::REQUESTS;
pub(crate) use sockets::{OneMore, SOCKETS};

use group::{Label, metrics};

/// The metrics of this process that belong to no other group.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

metrics! {
    /// The metrics of this process that belong to no other group.
    Metrics {
        /// Positions that were missing when a stream was followed.
        holes: Counter = "log_holes";
        /// Events of types that this version does not know.
        unknown_events: Counter = "unknown_events";
        /// Events that could not be read, counted at each attempt.
        poison: Counter = "poison_events";
        /// Conversations whose views are stopped because of an event, on the streams that this process projects.
        parked: Gauge = "parked_conversations";
        /// Events that were void because their actor was no longer a member.
        void_events: Counter = "void_events";
        /// Events that the projector has applied to the views.
        projected: Counter = "projected_events";
        /// Audit events that this process has published from the outbox to the stream AUDIT.
        audited: Counter = "audit_events";
        /// Records that this process has written to the archive.
        archived: Counter = "archived_records";
        /// Archive segments from which this process has removed erased content.
        rewritten: Counter = "rewritten_segments";
        /// Time when this process last found that the archive keeps up with the log, or became an archiver, as a Unix
        /// time; 0 without the role.
        archive_written: Gauge = "archive_written_timestamp_seconds";
        /// Time when this process last found that the archive has a backup of the accounts that is less than an hour
        /// old, or became an archiver, as a Unix time; 0 without the role.
        archive_accounts: Gauge = "archive_accounts_timestamp_seconds";
        /// Restarts of archiving in this process, because the archive, the log or Postgres failed.
        archive_failures: Counter = "archive_failures";
        /// Times that this process did not archive a stream beyond an unexplained hole.
        archive_refusals: Counter = "archive_refusals";
        /// Projections that stopped for good.
        stopped: Gauge = "stopped_projections";
        /// State of each part of /readyz: 0 ok, 1 degraded, 2 failed.
        part_status: Family<Label, Gauge> = "part_status";
        /// Background tasks that panicked or ended early. The first one stops the process.
        failed_tasks: Counter = "failed_tasks";
        /// Time when a background task of any node last failed, as a Unix time; 0 if none has within the last day.
        failed_task_at: Gauge = "failed_task_timestamp_seconds";
        /// Open sockets with a session.
        sessions: Gauge = "sessions";
        /// Connections that were upgraded, from the handshake to the last byte, with or without a session.
        sockets: Gauge = "sockets";
        /// Connections that were closed because their address had too many without an access token.
        newcomers_closed: Counter = "newcomers_closed";
        /// Seconds until the TLS certificate of the public listener expires; not exposed without TLS.
        certificate_expiry: Family<Label, Gauge> = "tls_certificate_expires_in_seconds";
        /// Requests that are following events, by page or as a stream.
        followers: Gauge = "events_followed";
        /// Bytes of answers that clients have not read yet.
        unread: Gauge = "unread_answer_bytes";
        /// Event frames that were handed to sockets.
        deliveries: Counter = "deliveries";
        /// Sessions that began to resume from a cursor.
        resumes: Counter = "resumes";
        /// Events that nats-server or their stream refused because of their size.
        too_large: Counter = "events_too_large";
        /// Whether the views are currently not queried for idempotency keys, because they did not answer: 1 if so.
        key_breaker: Gauge = "key_breaker_open";
        /// Idempotency keys of commands, by the result of their look-up.
        key_look_ups: Family<Label, Counter> = "key_look_ups";
        /// Reads that were refused because the log lacks an event that they need.
        refused_reads: Counter = "refused_reads";
        /// Running replays of the log, each with a consumer.
        replays: Gauge = "replays";
        /// Sockets that were closed because their clients did not read fast enough.
        slow_consumers: Counter = "slow_consumers";
        /// Requests and frames that were refused because of a rate limit, by policy.
        rate_limited: Family<Label, Counter> = "rate_limited";
        /// Overload level of this node: at 0 it refuses nothing, at 8 everything.
        overload: Gauge = "overload_level";
        /// Requests and frames that were refused because of overload, by kind of work.
        shed: Family<Label, Counter> = "shed";
        /// Fetches of the keys of external issuers, by outcome.
        issuer_fetches: Family<Label, Counter> = "issuer_key_fetches";
        /// Tokens of external issuers that were checked with keys that could not be refreshed in time.
        stale_issuer_keys: Counter = "issuer_stale_keys_used";
        /// Attempts to deliver an event to a webhook, by result.
        webhook_deliveries: Family<Label, Counter> = "webhook_deliveries";
        /// Events that a webhook of this process still has to receive or skip.
        webhook_lag_events: Family<[(&'static str, String); 1], Gauge> = "webhook_lag_events";
        /// Waiting time of the oldest known event of a webhook of this process, in seconds.
        webhook_lag_seconds: Family<[(&'static str, String); 1], Gauge> = "webhook_lag_seconds";
        /// Webhooks that are disabled, by reason.
        webhook_disabled: Family<Label, Gauge> = "webhook_disabled";
        /// Parked events of all webhooks.
        webhook_parked: Gauge = "webhook_parked";
        /// Webhooks that this process owns.
        webhooks_owned: Gauge = "webhooks_owned";
        /// Events that a consumer has not acknowledged.
        consumer_lag_events: Family<[(&'static str, String); 1], Gauge> = "consumer_lag_events";
        /// Age of the oldest event that a consumer has not acknowledged, in seconds.
        consumer_lag_seconds: Family<[(&'static str, String); 1], Gauge> = "consumer_lag_seconds";
        /// Events that were parked after all delivery attempts to a consumer failed.
        consumer_parked: Family<[(&'static str, String); 1], Gauge> = "consumer_parked";
        /// Spans that the collector has accepted.
        spans_exported: Counter = "spans_exported";
        /// Spans that were dropped, because too many waited or the collector did not accept them.
        spans_dropped: Counter = "spans_dropped";
        /// Messages of other nodes about rate limits that could not be read, or only in part.
        gossip_ignored: Counter = "limits_gossip_ignored";
    }
}

/// The metrics in the text format of OpenMetrics.
pub(crate) fn exposition() -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Kernel));
    let ours = registry.sub_registry_with_prefix("verbatim");
    METRICS.register(ours);
    REQUESTS.register(ours);
    SOCKETS.register(ours);
    APPENDS.register(ours);
    PROGRESS.register_if_set(ours);
    CACHES.register(ours);
    PROCESS.register(ours);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("a String takes all that is written");
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names of the table in `docs/metrics.md`.
    fn documented() -> BTreeSet<String> {
        let page = include_str!("../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect()
    }

    fn declared() -> BTreeSet<String> {
        let groups = [
            Metrics::DECLARED,
            requests::RequestMetrics::DECLARED,
            sockets::SocketMetrics::DECLARED,
            appends::AppendMetrics::DECLARED,
            progress::ProgressMetrics::DECLARED,
            caches::CacheMetrics::DECLARED,
            process::ProcessMetrics::DECLARED,
        ];
        let total = |kind: &str| if kind.contains("Counter") { "_total" } else { "" };
        let ours = groups.into_iter().flatten().map(|(name, kind)| format!("verbatim_{name}{}", total(kind)));
        ours.collect()
    }

    #[test]
    fn the_table_has_every_metric_and_no_other() {
        let (documented, declared) = (documented(), declared());
        let missing: Vec<_> = declared.difference(&documented).collect();
        assert!(missing.is_empty(), "write rows for these in docs/metrics.md: {missing:?}");
        let gone = documented.difference(&declared).filter(|name| !name.starts_with("process_"));
        let gone: Vec<_> = gone.collect();
        assert!(gone.is_empty(), "docs/metrics.md tells of metrics that do not exist: {gone:?}");
    }

    #[test]
    fn the_process_tells_what_the_kernel_knows() {
        let told = exposition();
        for name in documented().into_iter().filter(|name| name.starts_with("process_")) {
            assert!(told.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} in {told}");
        }
        assert!(told.contains("verbatim_build_info{version=\""));
    }
}
