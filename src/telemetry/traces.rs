//! Spans: the work of this process for a request, exported to a collector that the operator names.
//!
//! Without a collector, every function here only checks an empty static: it creates no span, allocates no memory and
//! reads no clock.

mod arrivals;
mod export;
mod otlp;
mod sampler;
mod span;

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::mpsc;

pub(crate) use export::{NotTaken, Posting, SpanExport};
pub(crate) use sampler::{Sampler, SamplerKind};
pub(crate) use span::{OpenSpan, SpanKind, method};

use crate::telemetry::{METRICS, TraceParent};
use arrivals::Arrivals;
use span::EndedSpan;

/// The maximum number of spans that wait for their export. Further spans are dropped and counted.
const MOST_WAITING: usize = 4_096;

static TRACES: OnceLock<Traces> = OnceLock::new();

/// The recorder of spans.
struct Traces {
    sampler: Sampler,
    ended: mpsc::Sender<EndedSpan>,
    arrivals: Mutex<Arrivals>,
}

/// Records spans from now on; `None` if this process already records them.
fn record(sampler: Sampler) -> Option<mpsc::Receiver<EndedSpan>> {
    let (ended, waiting) = mpsc::channel(MOST_WAITING);
    TRACES.set(Traces { sampler, ended, arrivals: Mutex::default() }).ok().map(|()| waiting)
}

/// Whether spans are recorded.
pub(crate) fn are_recorded() -> bool {
    TRACES.get().is_some()
}

/// The span of a request, which may name a trace that it belongs to; `None` if the trace is not sampled.
pub(crate) fn of_request(named: Option<&TraceParent>) -> Option<Box<OpenSpan>> {
    let traces = TRACES.get()?;
    let span = match named {
        Some(parent) => OpenSpan::below(parent, SpanKind::Server)?,
        None => OpenSpan::root(SpanKind::Server),
    };
    let is_sampled = traces.sampler.samples(&span.trace, named.map(TraceParent::is_sampled));
    is_sampled.then(|| Box::new(span))
}

/// The span of a part of the work for a request; `None` if the spans of the request are not recorded.
pub(crate) fn of_part(of: Option<&TraceParent>, kind: SpanKind) -> Option<Box<OpenSpan>> {
    TRACES.get()?;
    OpenSpan::below(of.filter(|of| of.is_recorded)?, kind).map(Box::new)
}

/// Notes that an event has reached this process, in the order of its stream. The spans of its projection and delivery
/// begin here.
pub(crate) fn arrived(stream: usize, position: u64, lane: &str, header: &str) {
    let Some(traces) = TRACES.get() else { return };
    let Some(parent) = TraceParent::parse(header) else { return };
    if let Some(span) = OpenSpan::below(&parent, SpanKind::Consumer)
        && traces.sampler.samples(&span.trace, Some(parent.is_sampled()))
    {
        traces.arrivals().note(stream, position, lane, parent);
    }
}

/// Ends the spans of the events of a stream from after `behind` up to `to`, which are now projected or delivered.
pub(crate) fn processed(how: &'static str, stream: usize, behind: u64, to: u64) {
    let Some(traces) = TRACES.get() else { return };
    let ended: Vec<EndedSpan> = traces.arrivals().spans(how, stream, behind, to).collect();
    ended.into_iter().for_each(end);
}

impl Traces {
    fn arrivals(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queues an ended span for export.
pub(crate) fn end(span: EndedSpan) {
    if TRACES.get().is_some_and(|traces| traces.ended.try_send(span).is_err()) {
        METRICS.spans_dropped.inc();
    }
}
