//! The events of one conversation that are to be sent to an endpoint.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Position, Time},
    webhooks::told::Told,
};

/// The most events of a lane in memory.
pub(super) const QUEUE: usize = 64;

/// A conversation, and the only wanted event of it ([`Position::START`] for all events).
pub(super) type Key = (ConversationId, Position);

/// The events of a lane that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The next events.
    pub(super) queue: VecDeque<Arc<Told>>,
    /// There are events after this position that are only in the log.
    pub(super) behind: Option<Position>,
    /// Where a replay of the conversation ends.
    pub(super) until: Option<Position>,
    /// The last event that was taken or parked.
    pub(super) done: Position,
    /// Whether its next event is being sent, or its events are being read.
    pub(super) is_busy: bool,
    /// How many attempts of the next event have failed.
    pub(super) attempt: u32,
    /// When the next attempt is due; `None` for at once.
    pub(super) next_at: Option<Instant>,
    /// The same as a time for the database.
    pub(super) next_time: Option<Time>,
    /// When its events may be read again, after reading them has failed.
    pub(super) reads_at: Option<Instant>,
    /// How many events were parked since one was last taken.
    pub(super) parked: u32,
    /// The time of the first event that is only in the log, for the lag.
    pub(super) oldest: Option<Time>,
}

/// What happens to a failed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is tried again.
    Again,
    /// It was the last attempt.
    Parked,
}

impl Lane {
    /// The position of the next event, or a position before it.
    pub(super) fn next(&self) -> Position {
        let front = self.queue.front().map(|told| told.recorded.position);
        let behind = || self.behind.map(|behind| Position(behind.0 + 1));
        front.or_else(behind).unwrap_or(Position(self.done.0 + 1))
    }

    /// When it has something to do; `None` for at once.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.next_at.max(self.reads_at)
    }

    /// Whether there is nothing to send.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.behind.is_none() && !self.is_busy
    }

    /// Whether the lane needs a row of its own.
    pub(super) fn is_held(&self) -> bool {
        self.attempt > 0 || self.behind.is_some() || self.parked > 0
    }

    /// Queues the next event, or notes that it is only in the log. Returns the bytes that it takes up in memory.
    pub(super) fn arrive(&mut self, told: &Arc<Told>, has_room: bool) -> usize {
        if self.behind.is_some() {
            return 0;
        }
        if has_room && self.queue.len() < QUEUE {
            self.queue.push_back(told.clone());
            return told.recorded.data.len();
        }
        let last = self.queue.back().map(|told| told.recorded.position);
        self.behind = Some(last.unwrap_or(Position(told.recorded.position.0 - 1)));
        self.oldest = Some(told.recorded.time);
        0
    }

    /// Notes that the next event was taken. Returns the bytes that are freed.
    pub(super) fn taken(&mut self) -> usize {
        self.parked = 0;
        self.pass()
    }

    fn pass(&mut self) -> usize {
        (self.attempt, self.next_at, self.next_time) = (0, None, None);
        let Some(told) = self.queue.pop_front() else { return 0 };
        self.done = told.recorded.position;
        told.recorded.data.len()
    }

    /// Drops the waiting events that are not wanted, except the one that is being sent, as if they had been taken. Returns
    /// the bytes that are freed.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&Told) -> bool) -> usize {
        let Some(last) = self.queue.back().map(|told| told.recorded.position) else { return 0 };
        let sent = self.is_busy.then(|| self.queue.pop_front()).flatten();
        let (before, mut freed) = (self.next(), 0);
        self.queue.retain(|told| {
            let stays = is_wanted(told);
            freed += if stays { 0 } else { told.recorded.data.len() };
            stays
        });
        if self.queue.is_empty() {
            self.done = last;
        }
        match sent {
            Some(sent) => self.queue.push_front(sent),
            None if self.next() != before => (self.attempt, self.next_at, self.next_time) = (0, None, None),
            None => {}
        }
        freed
    }

    /// Notes that an attempt of the next event failed. The event is parked when no retry is left. Returns the bytes
    /// that are freed.
    pub(super) fn failed(
        &mut self,
        retries: &[Duration],
        wait: Duration,
        now: (Instant, Time),
    ) -> (Failure, usize) {
        self.attempt += 1;
        if self.attempt as usize > retries.len() {
            self.parked += 1;
            return (Failure::Parked, self.pass());
        }
        self.next_at = Some(now.0 + wait);
        self.next_time = Some(now.1.plus(wait));
        (Failure::Again, 0)
    }

    /// The time of the first waiting event, if it is known.
    pub(super) fn waits_since(&self) -> Option<Time> {
        self.queue.front().map(|told| told.recorded.time).or(self.oldest.filter(|_| self.behind.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Recorded;

    fn told(position: u64) -> Arc<Told> {
        let recorded = Recorded::meaningless(position, ConversationId::known(uuid::Uuid::nil()), 10);
        Arc::new(Told { recorded, previous: Position::START })
    }

    fn now() -> (Instant, Time) {
        (Instant::now(), "2026-11-24T13:10:00Z".parse().expect("a time"))
    }

    #[test]
    fn a_full_lane_leaves_the_rest_to_the_log_and_takes_none_out_of_turn() {
        let mut lane = Lane::default();
        for position in 1..=QUEUE as u64 {
            assert_eq!(lane.arrive(&told(position), true), 10);
        }
        assert!(!lane.is_held());
        assert_eq!(lane.arrive(&told(100), true), 0);
        assert_eq!((lane.behind, lane.is_held()), (Some(Position(QUEUE as u64)), true));
        lane.taken();
        assert_eq!(lane.arrive(&told(101), true), 0, "100 comes first");
        assert_eq!((lane.queue.len(), lane.next()), (QUEUE - 1, Position(2)));
    }

    #[test]
    fn without_room_a_lane_begins_behind_the_position_before_the_event() {
        let mut lane = Lane::default();
        lane.arrive(&told(7), false);
        assert_eq!((lane.queue.len(), lane.behind, lane.next()), (0, Some(Position(6)), Position(7)));
    }

    #[test]
    fn what_is_no_longer_wanted_goes_as_if_it_had_been_taken_but_for_the_event_in_flight() {
        let mut lane = Lane::default();
        for position in 1..=5 {
            lane.arrive(&told(position), true);
        }
        let wants =
            |positions: &'static [u64]| move |told: &Told| positions.contains(&told.recorded.position.0);
        lane.failed(&[Duration::ZERO], Duration::ZERO, now());
        assert_eq!((lane.keep(wants(&[1, 2, 4, 5])), lane.attempt, lane.next()), (10, 1, Position(1)));
        lane.is_busy = true;
        assert_eq!((lane.keep(wants(&[4])), lane.next()), (20, Position(1)), "it is being sent");
        lane.is_busy = false;
        assert_eq!((lane.keep(wants(&[4])), lane.next()), (10, Position(4)));
        assert_eq!((lane.attempt, lane.next_at), (0, None));
        lane.arrive(&told(6), true);
        assert_eq!((lane.keep(wants(&[])), lane.next(), lane.is_idle()), (20, Position(7), true));
    }

    #[test]
    fn an_event_is_parked_after_its_last_retry_and_counted_until_another_is_taken() {
        let mut lane = Lane::default();
        lane.arrive(&told(1), true);
        lane.arrive(&told(2), true);
        let retries = [Duration::from_secs(1); 2];
        assert_eq!(lane.failed(&retries, retries[0], now()).0, Failure::Again);
        assert!(lane.next_at.is_some() && lane.attempt == 1 && lane.next() == Position(1));
        assert_eq!(lane.failed(&retries, retries[1], now()).0, Failure::Again);
        assert_eq!(lane.failed(&retries, retries[1], now()), (Failure::Parked, 10));
        assert_eq!((lane.attempt, lane.parked, lane.next()), (0, 1, Position(2)));
        assert!(lane.next_at.is_none() && lane.is_held());
        lane.taken();
        assert!(lane.parked == 0 && lane.is_idle() && !lane.is_held());
    }
}
