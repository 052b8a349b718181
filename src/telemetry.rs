//! Logs, metrics, and the trace that a request belongs to.

mod seldom;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    sync::LazyLock,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use seldom::Seldom;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::FilterFn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

tokio::task_local! {
    static TRACE: Option<TraceParent>;
}

/// The trace of which a request is a part, and which span of it has made the request (W3C Trace
/// Context). Nothing is traced here: it is handed on to whoever reads the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The length of a header of version 00.
    const LENGTH: usize = 55;

    /// Reads the header. Of a later version only what 00 has counts; what is not valid names no trace.
    pub fn parse(header: &str) -> Option<Self> {
        let (known, more) = header.split_at_checked(Self::LENGTH)?;
        let mut fields = known.split('-');
        let mut hex = |length: usize| {
            let is_hex = |field: &&str| {
                field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            };
            fields.next().filter(is_hex)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let names_one = [trace, span].iter().all(|id| id.bytes().any(|b| b != b'0'));
        let ends_well = more.is_empty() || (version != "00" && more.starts_with('-'));
        let is_valid = names_one && ends_well && version != "ff";
        is_valid.then(|| Self(format!("00-{trace}-{span}-{flags}")))
    }

    /// As a header of version 00.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one of the request that is being answered.
    pub fn current() -> Option<Self> {
        TRACE.try_with(Clone::clone).ok().flatten()
    }
}

/// Does something as a part of a trace.
pub async fn within<F: Future>(trace: Option<TraceParent>, work: F) -> F::Output {
    TRACE.scope(trace, work).await
}

/// What this process counts, for `/metrics`.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident: $kind:ty = $exported:literal;)+) => {
        /// One field for each metric.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $help])+ pub $name: $kind,)+ }

        impl Metrics {
            fn registry(&self) -> Registry {
                let mut registry = Registry::with_prefix("verbatim");
                $(registry.register($exported, concat!($($help),+).trim().trim_end_matches('.'), self.$name.clone());)+
                registry
            }
        }
    };
}

metrics! {
    /// Positions that were missing when a stream was followed.
    holes: Counter = "log_holes";
    /// Events of types that this version does not know.
    unknown_events: Counter = "unknown_events";
    /// Events that cannot be read, each time that one is come across.
    poison: Counter = "poison_events";
    /// Conversations whose views stand still because of an event, on the streams that this process projects.
    parked: Gauge = "parked_conversations";
    /// Events that were void because their actor was no member any more.
    void_events: Counter = "void_events";
    /// Events that the projector has brought into the views.
    projected: Counter = "projected_events";
    /// Projections that stopped for good.
    stopped: Gauge = "stopped_projections";
    /// How each part of this process is, as /readyz says: 0 ok, 1 degraded, 2 failed.
    part_status: Family<[(&'static str, &'static str); 1], Gauge> = "part_status";
    /// Background tasks that panicked or ended early. The first one takes the process out.
    failed_tasks: Counter = "failed_tasks";
    /// Open sockets with a session.
    sessions: Gauge = "sessions";
    /// Connections that were upgraded, from the handshake to the last byte, with or without a session.
    sockets: Gauge = "sockets";
    /// Requests that follow events at this moment, by page or as a stream.
    followers: Gauge = "events_followed";
    /// Bytes of answers that wait to be read by those who have asked.
    unread: Gauge = "unread_answer_bytes";
    /// Event frames that were handed to sockets.
    deliveries: Counter = "deliveries";
    /// Sessions that went on from a cursor.
    resumes: Counter = "resumes";
    /// Events that nats-server or their stream did not take because of their size.
    too_large: Counter = "events_too_large";
    /// Whether the views are not asked for keys at present, because they did not answer: 1 if so.
    key_breaker: Gauge = "key_breaker_open";
    /// Keys that were looked up before something was done, by what was found.
    key_look_ups: Family<[(&'static str, &'static str); 1], Counter> = "key_look_ups";
    /// Reads that were refused because the log lacks something that they need.
    refused_reads: Counter = "refused_reads";
    /// Replays of the log, each of which has a consumer.
    replays: Gauge = "replays";
    /// Sockets that were closed because they did not read fast enough.
    slow_consumers: Counter = "slow_consumers";
}

/// The metrics in the text format of OpenMetrics.
pub fn exposition() -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &METRICS.registry())
        .expect("a String takes all that is written");
    text
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text each, for people.
    Text,
    /// One JSON object each, for machines.
    Json,
}

/// The lines that are logged unless `RUST_LOG` says otherwise. Postgres has a notice for each word that is too long for
/// its index, and clients choose the words. The connector of async-nats calls each failed attempt an error, although it
/// tries again; what an outage means is logged here once.
const LINES: &str = "info,async_nats=warn,async_nats::connector=off,sqlx::postgres::notice=warn";

/// Whether lines of a kind may be logged at all. At its lowest level the connection of async-nats writes
/// down what goes over it, our password and people's messages too.
fn keeps_secrets(lines: &Metadata<'_>) -> bool {
    *lines.level() < Level::TRACE || !lines.target().starts_with("async_nats")
}

/// Sends log lines to stderr; `RUST_LOG` chooses which (default `info`). Of each place in the code one a
/// second is written at most.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LINES));
    let registry = tracing_subscriber::registry().with(filter).with(FilterFn::new(keeps_secrets));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => {
            let lines = lines.with_ansi(false).with_target(false);
            registry.with(lines.map_event_format(|lines| Seldom::new(lines, format))).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            registry.with(lines.map_event_format(|lines| Seldom::new(lines, format))).try_init()
        }
    };
    if let Err(e) = started {
        tracing::debug!(error = %e, "another subscriber takes the log lines");
    }
    log_panics();
}

/// A panic becomes an error in the log, like all that goes wrong, and not a text that no machine reads.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(said, at, backtrace, "a task panicked; please report this defect");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn a_trace_is_read_as_the_standard_says() {
        let read = |header: String| TraceParent::parse(&header).map(|trace| trace.0);
        let good = format!("00-{TRACE_ID}-01");
        assert_eq!(read(good.clone()), Some(good.clone()));
        assert_eq!(read(format!("cc-{TRACE_ID}-01-more")), Some(good));
        for wrong in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE_ID}-01"),
            format!("00-{TRACE_ID}-01-more"),
            format!("cc-{TRACE_ID}-01more"),
            format!("00-{TRACE_ID}-0g"),
            format!("00-{}-01", TRACE_ID.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            format!("00-{}-01", TRACE_ID.replace('-', "0")),
            "é".repeat(40),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_done_for_a_request_is_part_of_its_trace_and_nothing_else() {
        let trace = TraceParent::parse(&format!("00-{TRACE_ID}-01"));
        assert!(trace.is_some());
        assert_eq!(within(trace.clone(), async { TraceParent::current() }).await, trace);
        assert_eq!(TraceParent::current(), None);
    }
}
