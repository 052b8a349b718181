//! The latest events of each stream, read and folded once for all endpoints of this node.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{
    domain::Position,
    log::{Log, NotRead},
    telemetry::METRICS,
    webhooks::{
        teller::{Batch, Teller},
        told::Told,
    },
};

/// The most bytes that all streams together keep.
const BYTES: usize = 32 << 20;
/// The estimated size of an event besides its data.
const EACH: usize = 512;
/// The wait before a stream is read again after an outage.
const PAUSE: Duration = Duration::from_millis(500);

/// The latest events of all streams. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ring(Arc<Shared>);

struct Shared {
    streams: Vec<Mutex<Kept>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Told>>,
    bytes: usize,
    /// All events that count after `from` and up to `to` are here; `None` before the stream is read.
    range: Option<(Position, Position)>,
}

impl Ring {
    /// A ring without events, for this many streams.
    pub(super) fn new(streams: usize) -> Self {
        let streams = (0..streams).map(|_| Mutex::default()).collect();
        Self(Arc::new(Shared { streams, changed: watch::Sender::new(0) }))
    }

    fn of(&self, stream: usize) -> MutexGuard<'_, Kept> {
        self.0.streams[stream].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// How far a stream was read.
    pub(super) fn end(&self, stream: usize) -> Option<Position> {
        self.of(stream).range.map(|(_, to)| to)
    }

    /// At most `limit` events after a position; `None` if some of them are no longer here, or not yet.
    pub(super) fn after(&self, stream: usize, position: Position, limit: usize) -> Option<Batch> {
        let kept = self.of(stream);
        let (from, to) = kept.range?;
        if position < from {
            return None;
        }
        let begin = kept.events.partition_point(|told| told.recorded.position <= position);
        let events: Vec<_> = kept.events.range(begin..).take(limit).cloned().collect();
        let is_all = begin + events.len() == kept.events.len();
        let upto = if is_all { to.max(position) } else { events[events.len() - 1].recorded.position };
        Some(Batch { events, upto })
    }

    fn extend(&self, stream: usize, batch: Batch) {
        let most = BYTES / self.0.streams.len();
        {
            let mut kept = self.of(stream);
            let from = kept.range.map_or(batch.upto, |(from, _)| from);
            kept.range = Some((from, batch.upto));
            for told in batch.events {
                kept.bytes += EACH + told.recorded.data.len();
                kept.events.push_back(told);
            }
            while kept.bytes > most
                && let Some(oldest) = kept.events.pop_front()
            {
                kept.bytes -= EACH + oldest.recorded.data.len();
                kept.range = Some((oldest.recorded.position, batch.upto));
            }
        }
        self.0.changed.send_modify(|count| *count += 1);
    }

    /// Reads a stream from its current end on, for as long as the process lives.
    pub(super) async fn read(self, log: Log, stream: usize) {
        let end = loop {
            match log.last(stream).await {
                Ok(end) => break end,
                Err(_) => sleep(PAUSE).await,
            }
        };
        self.extend(stream, Batch { events: Vec::new(), upto: end });
        let mut teller = Teller::new(&log, stream, end);
        loop {
            match teller.batch().await {
                Ok(batch) => self.extend(stream, batch),
                Err(NotRead::Unavailable(e)) => {
                    tracing::debug!(error = %e, stream, "cannot read a stream for webhooks yet");
                    sleep(PAUSE).await;
                }
                Err(NotRead::Damaged(damaged)) => {
                    METRICS.stopped.inc();
                    tracing::error!(error = %damaged, "stopped reading a stream for webhooks: the log is damaged");
                    // A restart would not repair a damaged log.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationId, Recorded};

    fn batch(positions: &[u64], upto: u64, bytes: usize) -> Batch {
        let told = |position: &u64| {
            let recorded = Recorded::meaningless(*position, ConversationId::known(uuid::Uuid::nil()), bytes);
            Arc::new(Told { recorded, previous: Position::START })
        };
        Batch { events: positions.iter().map(told).collect(), upto: Position(upto) }
    }

    fn after(ring: &Ring, position: u64, limit: usize) -> Option<(Vec<u64>, u64)> {
        let batch = ring.after(0, Position(position), limit)?;
        let positions = batch.events.iter().map(|told| told.recorded.position.0).collect();
        Some((positions, batch.upto.0))
    }

    #[test]
    fn it_gives_what_it_has_without_a_hole_and_nothing_else() {
        let ring = Ring::new(1);
        assert_eq!(after(&ring, 0, 9), None, "nothing was read yet");
        ring.extend(0, batch(&[], 5, 0));
        assert_eq!(after(&ring, 4, 9), None);
        assert_eq!(after(&ring, 5, 9), Some((vec![], 5)));
        ring.extend(0, batch(&[6, 8], 9, 0));
        assert_eq!(after(&ring, 5, 9), Some((vec![6, 8], 9)));
        assert_eq!(after(&ring, 5, 1), Some((vec![6], 6)), "what was cut off comes next");
        assert_eq!(after(&ring, 6, 9), Some((vec![8], 9)));
        assert_eq!(after(&ring, 12, 9), Some((vec![], 12)), "a reader may be ahead");
    }

    #[test]
    fn the_oldest_events_go_first_and_a_reader_behind_them_is_told_so() {
        let ring = Ring::new(32);
        ring.extend(0, batch(&[], 0, 0));
        ring.extend(0, batch(&[1, 2, 3], 3, 500_000));
        assert_eq!(after(&ring, 0, 9), None);
        assert_eq!(after(&ring, 1, 9), Some((vec![2, 3], 3)));
    }
}
