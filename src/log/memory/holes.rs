//! The holes of a stream: positions without an event, as the leader of the stream reports them.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use serde::Deserialize;
use tokio::time::Instant;

#[cfg(test)]
use crate::log::streams::layout;
use crate::{domain::Position, log::errors::Unavailable};

/// The last answer of a stream's leader, and when it was asked for.
#[derive(Default)]
pub(in crate::log) struct Seen(
    pub(in crate::log) tokio::sync::Mutex<Option<(Instant, Result<Extent, Unavailable>)>>,
);

/// The extent of a stream.
#[derive(Debug, Clone)]
pub(in crate::log) struct Extent {
    pub(in crate::log) last: Position,
    /// The holes that nothing explains, in order. An erasure that is recorded in the log removes its positions from
    /// this list.
    pub(in crate::log) holes: Arc<[RangeInclusive<Position>]>,
}

/// Positions of a stream without an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub(in crate::log) stream: String,
    pub(in crate::log) first: Position,
    pub(in crate::log) last: Position,
}

impl Hole {
    /// One position of a stream.
    #[cfg(test)]
    pub(crate) fn at(stream: usize, position: Position) -> Self {
        Self { stream: layout::name(stream), first: position, last: position }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, first, last } = self;
        match first == last {
            true => write!(f, "{stream} has no event at {first}"),
            false => write!(f, "{stream} has no events from {first} to {last}"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::log) struct State {
    messages: u64,
    pub(in crate::log) first_seq: u64,
    pub(in crate::log) last_seq: u64,
    #[serde(default)]
    deleted: Vec<u64>,
}

impl State {
    /// A stream without a hole has as many messages as its last position says.
    pub(in crate::log) fn missing(&self) -> u64 {
        self.last_seq.saturating_sub(self.messages)
    }

    /// The holes. If the leader does not name each missing position, the whole stream counts as a hole.
    pub(in crate::log) fn holes(&self) -> Vec<RangeInclusive<Position>> {
        if self.missing() == 0 {
            return Vec::new();
        }
        let whole = 1..=self.last_seq;
        let first = if self.messages == 0 { self.last_seq + 1 } else { self.first_seq };
        let mut listed: Vec<u64> =
            self.deleted.iter().copied().filter(|at| *at >= first && whole.contains(at)).collect();
        listed.sort_unstable();
        listed.dedup();
        let before = first.saturating_sub(1);
        if before + listed.len() as u64 != self.missing() {
            return vec![Position(1)..=Position(self.last_seq)];
        }
        let mut holes: Vec<RangeInclusive<Position>> = Vec::new();
        holes.extend((before > 0).then_some(Position(1)..=Position(before)));
        for at in listed {
            match holes.last_mut() {
                Some(hole) if hole.end().0 + 1 == at => *hole = *hole.start()..=Position(at),
                _ => holes.push(Position(at)..=Position(at)),
            }
        }
        holes
    }
}

impl Extent {
    /// The first position without an event after `after`, up to and including `upto`.
    pub(in crate::log) fn first_hole(&self, after: Position, upto: Position) -> Option<Position> {
        let next = Position(after.0 + 1);
        let hole = self.holes.iter().find(|hole| *hole.end() > after)?;
        Some(next.max(*hole.start())).filter(|first| *first <= upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(state: &State) -> Vec<(u64, u64)> {
        state.holes().iter().map(|hole| (hole.start().0, hole.end().0)).collect()
    }

    #[test]
    fn a_stream_with_as_many_messages_as_positions_has_no_hole() {
        assert_eq!(holes(&State::default()), []);
        assert_eq!(holes(&State { messages: 9, first_seq: 1, last_seq: 9, deleted: Vec::new() }), []);
    }

    #[test]
    fn holes_are_before_the_first_message_between_two_and_behind_the_last() {
        let deleted = vec![9, 5, 6, 12];
        let state = State { messages: 6, first_seq: 3, last_seq: 12, deleted };
        assert_eq!(holes(&state), [(1, 2), (5, 6), (9, 9), (12, 12)]);
        let emptied = State { messages: 0, first_seq: 13, last_seq: 12, deleted: Vec::new() };
        assert_eq!(holes(&emptied), [(1, 12)]);
    }

    #[test]
    fn if_not_every_missing_position_is_told_none_is_relied_upon() {
        let state = State { messages: 5, first_seq: 1, last_seq: 9, deleted: vec![4, 5, 6] };
        assert_eq!(holes(&state), [(1, 9)]);
    }

    #[test]
    fn a_hole_counts_for_those_who_have_read_over_it() {
        let hole = |first, last| Position(first)..=Position(last);
        let extent = Extent { last: Position(20), holes: [hole(1, 2), hole(7, 9)].into() };
        let first = |after, upto| extent.first_hole(Position(after), Position(upto)).map(|at| at.0);
        assert_eq!(first(0, 20), Some(1));
        assert_eq!(first(2, 6), None, "before it");
        assert_eq!(first(2, 7), Some(7));
        assert_eq!(first(8, 20), Some(9), "begun in the middle of it");
        assert_eq!(first(9, 20), None, "behind it");
    }
}
