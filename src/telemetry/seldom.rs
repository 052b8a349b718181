//! A rate limit for log lines: each warning or error is written at most once a second. A peer can cause some of them as
//! often as it likes, and would fill the disk.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::telemetry::format::LogFormat;

/// The minimum interval between two lines of one place in the code.
const EVERY: Duration = Duration::from_secs(1);

/// Writes lines as `format` does. Each place in the code writes at most one warning or error a second, whatever the
/// fields of the line. The next line of the place says how many were left out before it. Lower levels have no limit:
/// the only line of level info that a peer can cause is that of an audit event, which the limits on log-ins bound, and
/// levels below info are enabled only to look for a fault.
pub(super) struct Seldom<F> {
    format: F,
    lines: LogFormat,
    /// The key is the address of the place's static metadata.
    places: Mutex<HashMap<usize, Place>>,
}

struct Place {
    logged: Instant,
    left_out: u64,
}

impl<F> Seldom<F> {
    pub(super) fn new(format: F, lines: LogFormat) -> Self {
        Self { format, lines, places: Mutex::default() }
    }

    /// How many lines of a place were left out since its last one; `None` if this line has to be left out too.
    fn left_out(&self, of: &'static Metadata<'static>, now: Instant) -> Option<u64> {
        if *of.level() > Level::WARN {
            return Some(0);
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = places.get_mut(&std::ptr::from_ref(of).addr()) else {
            places.insert(std::ptr::from_ref(of).addr(), Place { logged: now, left_out: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(place.logged) < EVERY {
            place.left_out += 1;
            return None;
        }
        let left_out = place.left_out;
        *place = Place { logged: now, left_out: 0 };
        Some(left_out)
    }
}

impl<S, N, F> FormatEvent<S, N> for Seldom<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.left_out(event.metadata(), Instant::now()) {
            // Nothing is written, so no line appears.
            None => Ok(()),
            Some(0) => self.format.format_event(context, writer, event),
            Some(left_out) => {
                let mut line = String::new();
                self.format.format_event(context, Writer::new(&mut line), event)?;
                writer.write_str(&with_count(&line, self.lines, left_out))
            }
        }
    }
}

/// A line that also says how many lines were left out.
fn with_count(line: &str, lines: LogFormat, left_out: u64) -> String {
    let mut line = line.trim_end().to_owned();
    let _ = match lines {
        LogFormat::Json if line.ends_with('}') => {
            line.pop();
            writeln!(line, ",\"left_out\":{left_out}}}")
        }
        LogFormat::Json | LogFormat::Text => writeln!(line, " left_out={left_out}"),
    };
    line
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `log` and returns the written lines.
    fn lines(of: LogFormat, log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || to.clone()).with_ansi(false);
        let registry = tracing_subscriber::registry();
        match of {
            LogFormat::Text => {
                with_default(registry.with(layer.map_event_format(|format| Seldom::new(format, of))), log);
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                with_default(registry.with(layer.map_event_format(|format| Seldom::new(format, of))), log);
            }
        }
        let written = written.0.lock().expect("no panic").clone();
        String::from_utf8(written).expect("text").lines().map(str::to_owned).collect()
    }

    fn complain(number: u32) {
        tracing::warn!(number, "a peer did it again");
    }

    #[test]
    fn what_is_repeated_is_one_line_and_what_is_left_out_is_counted() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = lines(format, || {
                (0..10_000).for_each(complain);
                (0..3).for_each(|_| tracing::info!("something else"));
                std::thread::sleep(EVERY);
                complain(7);
            });
            assert_eq!(lines.len(), 5, "{lines:#?}");
            assert!(
                lines[0].contains("did it again")
                    && lines[1..4].iter().all(|line| line.contains("something else"))
            );
            match format {
                LogFormat::Text => assert!(lines[4].ends_with("number=7 left_out=9999"), "{}", lines[4]),
                LogFormat::Json => {
                    let line: serde_json::Value = serde_json::from_str(&lines[4]).expect("JSON");
                    assert_eq!((&line["number"], &line["left_out"]), (&7.into(), &9_999.into()));
                }
            }
        }
    }
}
