//! Selects log lines and writes them to stderr. Panics become log lines too.

use std::backtrace::{Backtrace, BacktraceStatus};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::FilterFn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::telemetry::{format::LogFormat, metrics, seldom::Seldom};

/// The default for `RUST_LOG`. Postgres sends a notice for each word that is too long for its index, and clients choose
/// the words. The connector of async-nats logs each failed attempt as an error, although it retries; this program logs
/// an outage once, with its consequences.
const LINES: &str = "info,async_nats=warn,async_nats::connector=off,sqlx::postgres::notice=warn";

/// Whether lines of a kind may be logged at all. At level trace, the connection of async-nats logs its whole traffic,
/// with the password of this process and people's messages.
fn keeps_secrets(lines: &Metadata<'_>) -> bool {
    *lines.level() < Level::TRACE || !lines.target().starts_with("async_nats")
}

/// Writes log lines to stderr; `RUST_LOG` selects which (default `info`). Each place in the code writes at most one
/// warning or error a second.
pub(crate) fn start(format: LogFormat) {
    metrics::begins();
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
        tracing::debug!(error = %e, "another tracing subscriber is already installed");
    }
    log_panics();
}

/// The exit status that shells report for a program that was killed by SIGPIPE.
const BROKEN_PIPE: i32 = 128 + 13;

/// Turns a panic into an error line, like every other failure, instead of text that no program parses. A command whose
/// output goes to a program that stops reading, like `head`, ends silently, as other programs do.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout: Broken pipe") {
            std::process::exit(BROKEN_PIPE);
        }
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(said, at, backtrace, "a task panicked; please report this bug");
    }));
}
