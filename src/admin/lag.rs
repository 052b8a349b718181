//! Lag in seconds: how long the log has had the first event that a follower lacks. Each process records the times at
//! which it saw the log at a position, so the lag does not depend on the clock of another machine.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::domain::Position;

/// The maximum number of notes for one stream. Above it, every second note of the older half is dropped. The oldest
/// note is always kept, because it keeps the lag of a stuck follower exact.
const NOTES: usize = 512;

/// The last positions of one stream, each with the time at which this process first saw it.
#[derive(Debug, Default)]
pub(super) struct Heads(VecDeque<(Instant, Position)>);

impl Heads {
    /// Records the last position of the stream, if it has changed.
    pub(super) fn note(&mut self, now: Instant, head: Position) {
        if self.0.back().is_some_and(|(_, last)| *last == head) {
            return;
        }
        self.0.push_back((now, head));
        if self.0.len() > NOTES {
            let mut number = 0;
            self.0.retain(|_| {
                number += 1;
                number > NOTES / 2 || number % 2 == 1
            });
        }
    }

    /// Drops the notes up to `passed`, a position that all followers have reached; the newest note stays.
    pub(super) fn forget(&mut self, passed: Position) {
        while self.0.len() > 1 && self.0.front().is_some_and(|(_, head)| *head <= passed) {
            self.0.pop_front();
        }
    }

    /// The number of events that a follower at `at` lacks, and how long it has lacked the first of them.
    pub(super) fn lag(&self, now: Instant, at: Position) -> (u64, Duration) {
        let missing = self.0.iter().find(|(_, head)| *head > at);
        let since = missing.map_or(Duration::ZERO, |(since, _)| now.duration_since(*since));
        let head = self.0.back().map_or(Position::START, |(_, head)| *head);
        (head.0.saturating_sub(at.0), since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_time_since_the_first_event_that_is_missing() {
        let (mut heads, begun) = (Heads::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(heads.lag(begun, Position(0)), (0, Duration::ZERO));
        for second in 0..10 {
            heads.note(after(second), Position(10 * (second + 1)));
        }
        assert_eq!(heads.lag(after(9), Position(100)), (0, Duration::ZERO));
        assert_eq!(heads.lag(after(9), Position(95)), (5, Duration::ZERO));
        // Position 21 was first seen in the log at second 2.
        assert_eq!(heads.lag(after(12), Position(20)), (80, Duration::from_secs(10)));
        // The log does not grow, and the follower does not advance: the lag of the follower grows anyway.
        heads.note(after(60), Position(100));
        assert_eq!(heads.lag(after(60), Position(95)), (5, Duration::from_secs(51)));
    }

    #[test]
    fn a_long_time_takes_little_memory_and_is_still_told() {
        let (mut heads, begun) = (Heads::default(), Instant::now());
        for second in 0..100_000 {
            heads.note(begun + Duration::from_secs(second), Position(second + 1));
            heads.forget(Position(second.min(1_000)));
        }
        assert!(heads.0.len() <= NOTES);
        let stuck = heads.lag(begun + Duration::from_secs(100_000), Position(1_000));
        assert_eq!(stuck, (99_000, Duration::from_secs(99_000)));
        heads.forget(Position(100_000));
        assert_eq!(heads.0.len(), 1);
    }
}
