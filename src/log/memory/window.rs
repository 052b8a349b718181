//! The duplicate window of JetStream. Within the window the server itself recognises a message that is published again;
//! an older message has to be looked up before the append. Only an earlier answer shows where the window begins in a
//! stream: at some moment the leader reported where the stream ended, and all events after that were stored later. The
//! position of the follower proves nothing, because a follower may lag.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{domain::Position, log::limits::DUPLICATE_WINDOW};

/// How far back we rely on the window. The rest of the window covers the time between the look-up of a key and the
/// append, which is retried for [`crate::log::limits::APPEND_DEADLINE`], and a deposed leader that still answers.
const RELIED_ON: Duration = Duration::from_secs(DUPLICATE_WINDOW.as_secs() - 30);
/// An answer that comes sooner than this after the one before it is not kept.
const APART: Duration = Duration::from_secs(5);
/// A leader that has not been asked for this long is asked.
const QUIET: Duration = Duration::from_secs(10);
/// When the leader of a stream was asked where the stream ends, and its answers.
#[derive(Clone, Default)]
pub(in crate::log) struct Window(Arc<Mutex<VecDeque<(Instant, Position)>>>);

impl Window {
    fn answers(&self) -> MutexGuard<'_, VecDeque<(Instant, Position)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leader, asked at `asked`, has said where the stream ends.
    pub(in crate::log) fn note(&self, asked: Instant, last: Position) {
        let mut answers = self.answers();
        if answers.back().is_none_or(|(before, _)| asked.saturating_duration_since(*before) >= APART) {
            answers.push_back((asked, last));
        }
        while answers.front().is_some_and(|(before, _)| *before + RELIED_ON < asked) {
            answers.pop_front();
        }
    }

    /// The position after which all events were stored within the window.
    pub(in crate::log) fn begins_behind(&self, now: Instant) -> Option<Position> {
        let answers = self.answers();
        answers.iter().find(|(asked, _)| now <= *asked + RELIED_ON).map(|(_, last)| *last)
    }

    pub(in crate::log) fn is_quiet(&self, now: Instant) -> bool {
        self.answers().back().is_none_or(|(asked, _)| *asked + QUIET <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_oldest_answer_that_is_young_enough_tells_where_the_window_begins() {
        let (window, start) = (Window::default(), Instant::now());
        assert_eq!(window.begins_behind(start), None, "nobody was asked");
        for n in 0..10 {
            window.note(start + seconds(10 * n), Position(n));
        }
        assert_eq!(window.begins_behind(start + RELIED_ON), Some(Position(0)));
        assert_eq!(window.begins_behind(start + RELIED_ON + seconds(1)), Some(Position(1)));
        assert_eq!(window.begins_behind(start + RELIED_ON + seconds(90)), Some(Position(9)));
        assert_eq!(window.begins_behind(start + RELIED_ON + seconds(91)), None, "all answers are too old");
    }

    #[test]
    fn few_answers_are_kept_and_an_older_one_does_not_come_behind_a_younger() {
        let (window, start) = (Window::default(), Instant::now());
        for n in 0..10_000 {
            window.note(start + Duration::from_millis(100 * n), Position(n));
        }
        window.note(start, Position(7));
        assert!(window.answers().len() <= 19, "{}", window.answers().len());
        assert!(window.answers().iter().is_sorted());
        assert!(!window.is_quiet(start + seconds(1_004)) && window.is_quiet(start + seconds(1_005)));
    }
}
