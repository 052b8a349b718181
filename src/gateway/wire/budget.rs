//! Limits how much a client may send before the server parses any of it. Frames, control frames and bytes each have a
//! token bucket that refills over time. If a client takes more than a bucket holds, the server closes its socket
//! (4408).
//!
//! The policy `frames` of the rate limits is stricter and answers each frame. This guard below it stops floods of
//! fragments, of pings and of bytes.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;

/// A sustained rate, and a burst after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRate {
    /// The sustained rate per second.
    pub per_second: u32,
    /// The burst after a pause.
    pub at_once: u32,
}

/// The rate of frames of every kind, including fragments.
pub const FRAMES: FrameRate = FrameRate { per_second: 200, at_once: 2_000 };
/// The rate that a client may rely on: the policy `frames`, capped by this guard.
pub fn frames(policy: Option<limits::Rate>) -> FrameRate {
    let Some(policy) = policy else { return FRAMES };
    FrameRate {
        per_second: (policy.quota / policy.seconds).clamp(1, FRAMES.per_second),
        at_once: policy.burst.min(FRAMES.at_once),
    }
}

/// The rate of all bytes, including those of frame heads. The burst has room for more than two hundred frames of the
/// largest size.
pub const BYTES: FrameRate = FrameRate { per_second: 1_000_000, at_once: 16_000_000 };
/// The rate of pings and pongs, which also count as frames.
pub const CONTROL: FrameRate = FrameRate { per_second: 10, at_once: 10 };

/// The budget of one client. Owned by the task that reads its socket.
#[derive(Debug)]
pub(in crate::gateway) struct Budget {
    /// The time up to which all bytes of the client have been read.
    read_up_to: Instant,
    /// When each bucket is full again.
    frames: Instant,
    bytes: Instant,
    control: Instant,
}

/// Frames and bytes that have arrived from the client.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::gateway) struct Came {
    pub(in crate::gateway) frames: u32,
    pub(in crate::gateway) bytes: u32,
    pub(in crate::gateway) control: u32,
}

impl Budget {
    pub(in crate::gateway) fn new(now: Instant) -> Self {
        Self { read_up_to: now, frames: now, bytes: now, control: now }
    }

    /// Notes that all bytes of the client up to `now` have been read, so the next bytes were sent after it.
    pub(in crate::gateway) fn is_read_up_to(&mut self, now: Instant) {
        self.read_up_to = now;
    }

    /// Takes the frames and bytes out of the buckets. Returns whether each bucket had enough.
    ///
    /// The frames and bytes count as sent over the time since the last `is_read_up_to`. Frames that a client sends
    /// while no task reads, as during a long resume, are read all at once, although the client did not send them all at
    /// once.
    pub(in crate::gateway) fn takes(&mut self, came: Came, now: Instant) -> bool {
        let since = self.read_up_to;
        let frames = FRAMES.takes(&mut self.frames, came.frames, since, now);
        let bytes = BYTES.takes(&mut self.bytes, came.bytes, since, now);
        let control = CONTROL.takes(&mut self.control, came.control, since, now);
        frames && bytes && control
    }
}

impl FrameRate {
    fn takes(self, full_at: &mut Instant, count: u32, since: Instant, now: Instant) -> bool {
        if count > 0 {
            *full_at = (*full_at).max(since) + self.time_for(count);
        }
        full_at.saturating_duration_since(now) <= self.time_for(self.at_once)
    }

    fn time_for(self, count: u32) -> Duration {
        Duration::from_nanos(u64::from(count) * 1_000_000_000 / u64::from(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL_FRAME: Came = Came { frames: 1, bytes: 6, control: 1 };
    const SECOND: Duration = Duration::from_secs(1);

    /// How many of these a client may send at the given moment.
    fn most(budget: &mut Budget, came: Came, now: Instant) -> usize {
        (0..).take_while(|_| budget.takes(came, now)).count()
    }

    #[test]
    fn so_much_may_come_at_once_and_so_much_a_second() {
        let begin = Instant::now();
        for (came, rate) in [
            (Came { frames: 1, ..Came::default() }, FRAMES),
            (Came { bytes: 1, ..Came::default() }, BYTES),
            (Came { control: 1, ..Came::default() }, CONTROL),
        ] {
            let mut budget = Budget::new(begin);
            assert_eq!(most(&mut budget, came, begin), rate.at_once as usize, "{rate:?}");
            // The frame over the budget has been taken too.
            let later = begin + 2 * SECOND;
            budget.is_read_up_to(later);
            assert_eq!(most(&mut budget, came, later) as u32, (2 * rate.per_second - 1).min(rate.at_once));
            let much_later = later + 3_600 * SECOND;
            budget.is_read_up_to(much_later);
            assert_eq!(most(&mut budget, came, much_later), rate.at_once as usize, "never more at once");
        }
    }

    #[test]
    fn frames_that_came_while_nobody_read_were_not_sent_at_once() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        let after_a_resume = begin + 120 * SECOND;
        let most_by_then = 120 * CONTROL.per_second + CONTROL.at_once;
        assert_eq!(most(&mut budget, CONTROL_FRAME, after_a_resume) as u32, most_by_then);
    }

    #[test]
    fn a_client_is_told_the_stricter_of_the_policy_and_the_guard() {
        let policy = |quota, burst| frames(Some(limits::Rate { quota, seconds: 10, burst }));
        assert_eq!(policy(120, 60), FrameRate { per_second: 12, at_once: 60 });
        assert_eq!(policy(5, 1), FrameRate { per_second: 1, at_once: 1 });
        assert_eq!(policy(1_000_000, 1_000_000), FRAMES);
        assert_eq!(frames(None), FRAMES);
    }

    #[test]
    fn every_bucket_has_to_have_enough() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        assert!(budget.takes(Came { frames: 1, bytes: BYTES.at_once, control: 0 }, begin));
        assert!(!budget.takes(Came { frames: 1, bytes: 6, control: 0 }, begin));
    }
}
