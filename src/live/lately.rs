//! Recent events in memory, for clients that were away for a moment. A storm of reconnects asks for the same few
//! events, and costs the servers nothing.
//!
//! This is a register and no cache: its worth is that it has the latest events of a stream *without a hole*, so the
//! oldest event goes first, whichever are used.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::{ConversationId, Event, Point, Position, Recorded},
    views::Stay,
};

/// The most bytes that all streams together keep.
const BYTES: usize = 32 << 20;
/// The size of an event besides its data.
const EACH: usize = 512;

/// The result of the fold for a followed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The event counts; this is the position before it in the chain of its conversation.
    Counts(Position),
    /// The event is void.
    Void,
    /// This process does not know the conversation.
    Unknown,
}

/// An event that a user may see.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The event.
    pub recorded: Recorded,
    /// The position before it in the chain of its conversation.
    pub previous: Position,
}

/// The latest events of every stream, without a hole.
pub struct Lately(Vec<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    events: VecDeque<(Recorded, Verdict)>,
    bytes: usize,
}

impl Lately {
    pub(super) fn new(streams: usize) -> Self {
        Self((0..streams).map(|_| Mutex::default()).collect())
    }

    fn of(&self, stream: usize) -> MutexGuard<'_, Kept> {
        self.0[stream].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the next events of a stream.
    pub(super) fn extend(&self, stream: usize, events: impl Iterator<Item = (Recorded, Verdict)>) {
        let mut kept = self.of(stream);
        for event in events {
            kept.push(event, BYTES / self.0.len());
        }
    }

    /// The point at a position, if its event is here.
    pub(crate) fn point(&self, stream: usize, position: Position) -> Option<Point> {
        let kept = self.of(stream);
        let first = kept.events.front()?.0.position;
        let index = usize::try_from(position.0.checked_sub(first.0)?).ok()?;
        kept.events.get(index).map(|(recorded, _)| recorded.point())
    }

    /// The events of stays after a position, up to and with another; `None` if one of them may be missing here.
    pub(crate) fn between(
        &self,
        stream: usize,
        after: Position,
        upto: Position,
        stays: &HashMap<ConversationId, Vec<Stay>>,
    ) -> Option<VecDeque<Shown>> {
        let kept = self.of(stream);
        let (first, last) = (kept.events.front()?.0.position, kept.events.back()?.0.position);
        if after.0 + 1 < first.0 || last < upto {
            return None;
        }
        let begin = kept.events.partition_point(|(recorded, _)| recorded.position <= after);
        let mut shown = VecDeque::new();
        for (recorded, verdict) in kept.events.range(begin..) {
            if recorded.position > upto {
                break;
            }
            let stays = stays.get(&recorded.conversation).map_or(&[][..], Vec::as_slice);
            if stays.iter().any(|stay| stay.parked) {
                return None;
            }
            if stays.iter().any(|stay| stay.covers(recorded.position)) {
                match *verdict {
                    Verdict::Counts(previous) => {
                        shown.push_back(Shown { recorded: recorded.clone(), previous });
                    }
                    Verdict::Void => {}
                    Verdict::Unknown => return None,
                }
            }
        }
        Some(shown)
    }
}

impl Kept {
    fn push(&mut self, event: (Recorded, Verdict), limit: usize) {
        let follows = |(last, _): &(Recorded, Verdict)| last.position.0 + 1 == event.0.position.0;
        if !self.events.back().is_none_or(follows) {
            *self = Self::default();
        }
        self.forget(&event.0);
        self.bytes += size(&event.0);
        self.events.push_back(event);
        while self.bytes > limit
            && let Some((oldest, _)) = self.events.pop_front()
        {
            self.bytes -= size(&oldest);
        }
    }

    /// Keeps no content that an event erases.
    fn forget(&mut self, recorded: &Recorded) {
        let Some(Event::ContentErased(erased)) = &recorded.event else { return };
        for entry in &erased.erased {
            let found = self.events.binary_search_by_key(&entry.position, |(kept, _)| kept.position);
            let Some((kept, _)) = found.ok().and_then(|index| self.events.get_mut(index)) else { continue };
            self.bytes -= size(kept);
            *kept = entry.skeleton(recorded.conversation, recorded.position, recorded.time);
            self.bytes += size(kept);
        }
    }
}

/// About the memory that an event takes: its data are there as stored bytes, and once more as a value.
fn size(recorded: &Recorded) -> usize {
    EACH + 2 * recorded.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: [(u64, Option<u64>); 1] = [(0, None)];

    fn recorded(position: u64, conversation: u128, bytes: usize) -> Recorded {
        Recorded::meaningless(position, id(conversation), bytes)
    }

    fn id(number: u128) -> ConversationId {
        ConversationId::known(uuid::Uuid::from_u128(number))
    }

    fn keep(lately: &Lately, events: &[(u64, u128, Verdict)]) {
        lately.extend(0, events.iter().map(|(at, of, verdict)| (recorded(*at, *of, 0), *verdict)));
    }

    /// The events of conversation 1 for a user with these stays in it.
    fn told(lately: &Lately, after: u64, upto: u64, stays: &[(u64, Option<u64>)]) -> Option<Vec<u64>> {
        let stay = |(since, until): &(u64, Option<u64>)| Stay {
            conversation: id(1),
            since: Position(*since),
            until: until.map(Position),
            last: Position(upto),
            parked: false,
        };
        let stays = HashMap::from([(id(1), stays.iter().map(stay).collect())]);
        let shown = lately.between(0, Position(after), Position(upto), &stays)?;
        Some(shown.iter().map(|shown| shown.recorded.position.0).collect())
    }

    #[test]
    fn it_tells_what_it_has_without_a_hole_and_nothing_else() {
        let lately = Lately::new(1);
        let counts = Verdict::Counts(Position(2));
        assert_eq!(told(&lately, 0, 0, &ALWAYS), None, "nothing is kept yet");
        keep(&lately, &[(5, 1, counts), (6, 2, Verdict::Unknown), (7, 1, Verdict::Void), (8, 1, counts)]);
        assert_eq!(told(&lately, 4, 8, &ALWAYS), Some(vec![5, 8]));
        assert_eq!(told(&lately, 5, 7, &ALWAYS), Some(vec![]));
        assert_eq!(told(&lately, 8, 8, &ALWAYS), Some(vec![]));
        assert_eq!(told(&lately, 3, 8, &ALWAYS), None, "4 is not kept");
        assert_eq!(told(&lately, 4, 9, &ALWAYS), None, "9 has not come yet");
        keep(&lately, &[(9, 1, Verdict::Unknown)]);
        assert_eq!(told(&lately, 8, 9, &ALWAYS), None, "9 may be void");
    }

    #[test]
    fn only_stays_are_told_with_the_events_that_begin_and_end_them() {
        let lately = Lately::new(1);
        let events: Vec<_> = (1..=9).map(|at| (at, 1, Verdict::Counts(Position(at - 1)))).collect();
        keep(&lately, &events);
        assert_eq!(told(&lately, 0, 9, &[(2, Some(4)), (7, None)]), Some(vec![2, 3, 4, 7, 8, 9]));
        assert_eq!(told(&lately, 0, 9, &[]), Some(vec![]));
    }

    #[test]
    fn a_gap_begins_anew_and_no_more_is_kept_than_the_limit() {
        let lately = Lately::new(32);
        let counts = Verdict::Counts(Position::START);
        keep(&lately, &[(5, 1, counts), (7, 1, counts)]);
        assert_eq!(told(&lately, 4, 7, &ALWAYS), None);
        assert_eq!(told(&lately, 6, 7, &ALWAYS), Some(vec![7]));
        lately.extend(0, (8..=100).map(|at| (recorded(at, 1, 50_000), counts)));
        let kept = lately.of(0);
        assert!(kept.bytes <= 1 << 20 && kept.events.len() == (1 << 20) / 100_512);
        assert_eq!(kept.events.back().map(|event| event.0.position), Some(Position(100)));
    }
}
