//! Detects clients that ignore the time to wait.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The number of refused frames within [`WITHIN`] that ends the session of a client that does not wait.
const MOST: usize = 20;
/// The time over which such frames are counted.
const WITHIN: Duration = Duration::from_secs(60);

/// The refused frames that arrived although the client had been told to wait.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    told: Option<Instant>,
    ignored: VecDeque<Instant>,
}

impl Strikes {
    /// Notes a refusal that told the client to wait. Returns whether the client has ignored too many of them.
    pub(super) fn refused(&mut self, wait: Duration, now: Instant) -> bool {
        if self.told.is_some_and(|until| now < until) {
            self.ignored.push_back(now);
        }
        while self.ignored.front().is_some_and(|at| now.duration_since(*at) > WITHIN) {
            self.ignored.pop_front();
        }
        self.told = self.told.max(Some(now + wait));
        self.ignored.len() >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(200);

    #[test]
    fn a_client_that_waits_is_never_closed() {
        let (mut strikes, begin) = (Strikes::default(), Instant::now());
        assert!((0..1_000).all(|n| !strikes.refused(WAIT, begin + WAIT * n)));
    }

    #[test]
    fn the_twentieth_frame_within_a_minute_that_did_not_wait_is_one_too_many() {
        let (mut strikes, begin) = (Strikes::default(), Instant::now());
        let ignored = (0..100).take_while(|_| !strikes.refused(WAIT, begin)).count();
        assert_eq!(ignored, MOST, "the first refusal tells how long to wait");
        let mut slow = Strikes::default();
        let wait = Duration::from_secs(3_600);
        assert!((0..200).all(|n| !slow.refused(wait, begin + Duration::from_secs(4) * n)));
    }
}
