//! The rate of the eraser. For each deletion nats-server rewrites a block, and appends nothing to the stream meanwhile.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// A ticker with `rate` ticks per second, one for each deletion in a stream.
pub(super) fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
