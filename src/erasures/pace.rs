//! The pace of the eraser. For each deletion nats-server rewrites a block, and appends nothing to the stream meanwhile.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::{
    domain::Position,
    log::{Log, Unavailable},
};

/// While events are appended to a stream, deletions take at most one part in this many of its time. A part in a hundred
/// would be the p99 of the appends.
const PARTS: u32 = 200;
/// The longest pause. On a disk that needs more than a part of this for a deletion, sends are slow without deletions, too,
/// and an erasure must not take for ever.
const LONGEST: Duration = Duration::from_secs(2);

/// A ticker with `rate` ticks per second, one for each deletion in a stream.
pub(super) fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// The pace in one stream of the log, which keeps deletions out of the way of appends.
pub(super) struct StreamPace {
    stream: usize,
    ticks: Interval,
    /// The end of the stream after the last deletion, and when the next one may follow if the stream has grown since.
    last: Option<(Option<Position>, Instant)>,
}

impl StreamPace {
    /// At most `rate` deletions per second.
    pub(super) fn new(stream: usize, rate: u32) -> Self {
        Self { stream, ticks: pace(rate), last: None }
    }

    /// Waits until the next deletion may follow.
    pub(super) async fn wait(&mut self, log: &Log) {
        self.ticks.tick().await;
        if let Some((end, rested)) = self.last
            && log.last(self.stream).await.ok() != end
        {
            sleep_until(rested).await;
        }
    }

    /// Deletes the message at a listed position.
    pub(super) async fn delete(&mut self, log: &Log, position: Position) -> Result<(), Unavailable> {
        let begun = Instant::now();
        log.erase(self.stream, position).await?;
        let rested = Instant::now() + (begun.elapsed() * PARTS).min(LONGEST);
        self.last = Some((log.last(self.stream).await.ok(), rested));
        Ok(())
    }
}
