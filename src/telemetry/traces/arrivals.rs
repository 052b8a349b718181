//! Recent events that belong to recorded traces. A trace is not part of an event, so events do not carry it through
//! this process. A task that has processed a range of a stream looks up here which of its events belong to traces.

use std::{collections::VecDeque, time::Instant};

use crate::telemetry::{
    TraceParent,
    traces::span::{EndedSpan, OpenSpan, SpanKind, destination},
};

/// The maximum number of events that are remembered. The oldest are dropped first.
const MOST: usize = 4_096;

#[derive(Default)]
pub(super) struct Arrivals(VecDeque<Arrival>);

struct Arrival {
    stream: usize,
    position: u64,
    destination: String,
    parent: TraceParent,
    at: Instant,
}

impl Arrivals {
    pub(super) fn note(&mut self, stream: usize, position: u64, lane: &str, parent: TraceParent) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        let destination = destination(lane);
        self.0.push_back(Arrival { stream, position, destination, parent, at: Instant::now() });
    }

    /// The spans of the events from after `behind` up to `to`. They end now.
    pub(super) fn spans(
        &self,
        how: &'static str,
        stream: usize,
        behind: u64,
        to: u64,
    ) -> impl Iterator<Item = EndedSpan> {
        let is_among =
            move |one: &&Arrival| one.stream == stream && (behind + 1..=to).contains(&one.position);
        self.0.iter().filter(is_among).filter_map(move |one| {
            Some(EndedSpan {
                span: OpenSpan::below(&one.parent, SpanKind::Consumer)?.since(one.at),
                name: format!("{how} {}", one.destination),
                attributes: vec![
                    ("messaging.system", "nats".into()),
                    ("messaging.operation.type", "process".into()),
                    ("messaging.operation.name", how.into()),
                    ("messaging.destination.template", one.destination.clone().into()),
                    ("verbatim.stream", format!("CHAT_{stream}").into()),
                    ("verbatim.position", one.position.into()),
                ],
                is_failed: false,
                ended: Instant::now(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_a_stream_has_the_spans_of_its_events_and_the_oldest_give_way() {
        let parent = TraceParent::recorded([1; 16], [2; 8]);
        let mut arrivals = Arrivals::default();
        for position in 1..=10 {
            arrivals.note(position as usize % 2, position, "timeline", parent.clone());
        }
        let of = |arrivals: &Arrivals, behind, to| arrivals.spans("project", 0, behind, to).count();
        assert_eq!((of(&arrivals, 0, 10), of(&arrivals, 4, 8), of(&arrivals, 10, 20)), (5, 2, 0));
        let one = arrivals.spans("project", 1, 0, 1).next().expect("a span");
        assert_eq!((one.span.trace, one.parent()), ([1; 16], Some(&[2; 8])));
        for position in 11..=11 + MOST as u64 {
            arrivals.note(1, position, "timeline", parent.clone());
        }
        assert_eq!((arrivals.0.len(), of(&arrivals, 0, 10)), (MOST, 0));
    }
}
