//! Logs and metrics.

use std::sync::LazyLock;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

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
    /// Open sockets with a session.
    sessions: Gauge = "sessions";
    /// Event frames that were handed to sockets.
    deliveries: Counter = "deliveries";
    /// Sessions that went on from a cursor.
    resumes: Counter = "resumes";
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

/// Sends log lines to stderr; `RUST_LOG` chooses which (default `info`).
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => registry.with(lines.with_ansi(false).with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if let Err(e) = started {
        tracing::debug!(error = %e, "another subscriber takes the log lines");
    }
}
