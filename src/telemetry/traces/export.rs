//! Sends spans to the collector.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{
    sync::{Mutex, mpsc},
    time::{sleep, timeout},
};

use super::{
    otlp,
    sampler::Sampler,
    span::{EndedSpan, SpanValue},
};
use crate::{
    clock::{self, Clock},
    telemetry::METRICS,
};

/// The maximum number of spans in a request.
const MOST: usize = 512;
/// The interval at which spans are collected into requests.
const GATHERED: Duration = Duration::from_secs(1);
/// The number of attempts for a request, and the pause between two of them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// The time limit for sending the last spans of a stopping process.
const LAST: Duration = Duration::from_secs(3);

/// Posts one request to the collector. The error is the reason why the collector did not accept it.
pub(crate) type Posting = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Result<(), NotTaken>> + Send + Sync>;

/// Why the collector did not accept spans.
#[derive(Debug)]
pub(crate) struct NotTaken {
    /// The reason, for the log.
    pub(crate) why: String,
    /// Whether the same request may succeed later.
    pub(crate) passes: bool,
}

/// Sends spans to the collector. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SpanExport(Option<Arc<Mutex<Collector>>>);

impl SpanExport {
    /// An export that does nothing, for a process without a collector.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Records spans from now on, for this collector.
    pub(crate) fn start(sampler: Sampler, service: String, clock: Clock, post: Posting) -> Self {
        // A process has one collector, even if it runs several nodes in a test.
        let Some(waiting) = super::record(sampler) else { return Self::none() };
        let resource = vec![
            ("service.name", service.into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("service.instance.id", clock::name().to_string().into()),
            ("telemetry.sdk.name", "verbatim".into()),
            ("telemetry.sdk.language", "rust".into()),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION").into()),
        ];
        Self(Some(Arc::new(Mutex::new(Collector { resource, clock, post, waiting, taken: Vec::new() }))))
    }

    /// Sends spans to the collector once a second, for the life of the process.
    pub(crate) async fn run(self) {
        loop {
            sleep(GATHERED).await;
            self.bring().await;
        }
    }

    /// Sends the remaining spans to the collector, within 3 s. At this point, `run` has ended.
    pub(crate) async fn flush(self) {
        let _ = timeout(LAST, self.bring()).await;
    }

    async fn bring(&self) {
        if let Some(collector) = &self.0 {
            collector.lock().await.bring().await;
        }
    }
}

struct Collector {
    resource: Vec<(&'static str, SpanValue)>,
    clock: Clock,
    post: Posting,
    waiting: mpsc::Receiver<EndedSpan>,
    /// The spans of the request in flight. They stay here until it ends, so a stop in between loses none.
    taken: Vec<EndedSpan>,
}

impl Collector {
    async fn bring(&mut self) {
        loop {
            while self.taken.len() < MOST
                && let Ok(span) = self.waiting.try_recv()
            {
                self.taken.push(span);
            }
            if self.taken.is_empty() {
                return;
            }
            self.send().await;
            self.taken.clear();
        }
    }

    async fn send(&self) {
        let (now, at) = (self.clock.unix_nanos(), Instant::now());
        let since = |then: Instant| u64::try_from((at - then).as_nanos()).unwrap_or(0);
        let at = |then| now.saturating_sub(since(then));
        let request = Bytes::from(otlp::request(&self.resource, &self.taken, at));
        let count = self.taken.len() as u64;
        for tried in 1..=TRIES {
            match (self.post)(request.clone()).await {
                Ok(()) => {
                    METRICS.spans_exported.inc_by(count);
                    return;
                }
                Err(NotTaken { passes: true, .. }) if tried < TRIES => sleep(PAUSE).await,
                Err(NotTaken { why, .. }) => {
                    tracing::warn!(error = why, spans = count, "could not export spans; dropped them");
                    METRICS.spans_dropped.inc_by(count);
                    return;
                }
            }
        }
    }
}
