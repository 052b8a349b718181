//! How fast the eraser deletes: nats-server writes a block anew for each deletion, and appends nothing to the stream meanwhile.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// The ticks of the deletions in a stream, so many in a second.
pub(super) fn pace(rate: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
