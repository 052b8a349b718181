//! Recent events in memory, for clients that were away for a moment. A storm of reconnects asks for the same few events
//! and costs the servers nothing: the events of a conversation are found without scanning others, and the frame of an
//! event is encoded once for all sockets.
//!
//! This is a register, not a cache. Its value is that it has the latest events of a stream *without a gap*, so the
//! oldest event goes first, whichever ones are used.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;

use crate::{
    domain::{ConversationId, Event, Point, Position, Recorded},
    live::verdict::Verdict,
    views::Stay,
};

/// The most bytes that all streams together keep.
const BYTES: usize = 32 << 20;
/// The size of an event in addition to its data.
const EACH: usize = 512;

/// An event that a user may see. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shown(Arc<ShownEvent>);

/// The event that all clones of [`Shown`] share.
#[derive(Debug)]
pub struct ShownEvent {
    /// The event.
    pub recorded: Recorded,
    /// The position of the previous event in the chain of its conversation.
    pub previous: Position,
    frame: OnceLock<Bytes>,
}

impl Shown {
    /// An event with the position of its predecessor.
    pub(crate) fn new(recorded: Recorded, previous: Position) -> Self {
        Self(Arc::new(ShownEvent { recorded, previous, frame: OnceLock::new() }))
    }

    /// The frame of the event, which is encoded for the first socket and reused for all others.
    pub(crate) fn frame(&self, encode: impl FnOnce(&Recorded, Position) -> Bytes) -> Bytes {
        self.0.frame.get_or_init(|| encode(&self.recorded, self.previous)).clone()
    }
}

impl Deref for Shown {
    type Target = ShownEvent;

    fn deref(&self) -> &ShownEvent {
        &self.0
    }
}

/// The latest events of every stream, without a gap.
pub struct Lately(Vec<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// The events, at consecutive positions.
    events: VecDeque<Followed>,
    /// The positions of the events of each conversation.
    of: HashMap<ConversationId, VecDeque<Position>>,
    bytes: usize,
}

/// A followed event.
struct Followed {
    point: Point,
    conversation: ConversationId,
    verdict: Verdict<Shown>,
}

impl Lately {
    pub(super) fn new(streams: usize) -> Self {
        Self((0..streams).map(|_| Mutex::default()).collect())
    }

    fn of(&self, stream: usize) -> MutexGuard<'_, Kept> {
        self.0[stream].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the next events of a stream. Of an event that counts, the verdict has the position of the previous
    /// event in the chain of its conversation.
    pub(super) fn extend(&self, stream: usize, events: impl Iterator<Item = (Recorded, Verdict<Position>)>) {
        let mut kept = self.of(stream);
        for (recorded, verdict) in events {
            kept.push(recorded, verdict, BYTES / self.0.len());
        }
    }

    /// The point at a position, if its event is in memory.
    pub(crate) fn point(&self, stream: usize, position: Position) -> Option<Point> {
        self.of(stream).at(position).map(|followed| followed.point)
    }

    /// The events of stays after a position, up to and including another; `None` if one of them may be missing here.
    pub(crate) fn between(
        &self,
        stream: usize,
        after: Position,
        upto: Position,
        stays: &HashMap<ConversationId, Vec<Stay>>,
    ) -> Option<VecDeque<Shown>> {
        let kept = self.of(stream);
        let (first, last) = (kept.events.front()?.point.position, kept.events.back()?.point.position);
        if after.0 + 1 < first.0 || last < upto {
            return None;
        }
        let mut places = Vec::new();
        for (conversation, stays) in stays {
            let Some(positions) = kept.of.get(conversation) else { continue };
            let (begin, end) =
                (positions.partition_point(|at| *at <= after), positions.partition_point(|at| *at <= upto));
            if begin == end {
                continue;
            }
            if stays.iter().any(|stay| stay.parked) {
                return None;
            }
            let covered = |at: &&Position| stays.iter().any(|stay| stay.covers(**at));
            places.extend(positions.range(begin..end).filter(covered).copied());
        }
        places.sort_unstable();
        let mut shown = VecDeque::with_capacity(places.len());
        for place in places {
            match &kept.at(place)?.verdict {
                Verdict::Counts(event) => shown.push_back(event.clone()),
                Verdict::Void => {}
                Verdict::Unknown => return None,
            }
        }
        Some(shown)
    }
}

impl Kept {
    fn index(&self, position: Position) -> Option<usize> {
        let first = self.events.front()?.point.position;
        usize::try_from(position.0.checked_sub(first.0)?).ok()
    }

    fn at(&self, position: Position) -> Option<&Followed> {
        self.events.get(self.index(position)?)
    }

    fn push(&mut self, recorded: Recorded, verdict: Verdict<Position>, limit: usize) {
        if self.events.back().is_some_and(|last| last.point.position.0 + 1 != recorded.position.0) {
            *self = Self::default();
        }
        self.forget(&recorded);
        let (point, conversation) = (recorded.point(), recorded.conversation);
        let verdict = verdict.map(|previous| Shown::new(recorded, previous));
        self.of.entry(conversation).or_default().push_back(point.position);
        let followed = Followed { point, conversation, verdict };
        self.bytes += followed.size();
        self.events.push_back(followed);
        while self.bytes > limit
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= oldest.size();
            if let Entry::Occupied(mut of) = self.of.entry(oldest.conversation) {
                of.get_mut().pop_front();
                if of.get().is_empty() {
                    of.remove();
                }
            }
        }
    }

    /// Removes the content that an event erases.
    fn forget(&mut self, recorded: &Recorded) {
        let Some(Event::ContentErased(erased)) = &recorded.event else { return };
        for entry in &erased.erased {
            let Some(kept) = self.index(entry.position).and_then(|index| self.events.get_mut(index)) else {
                continue;
            };
            let before = kept.size();
            if let Verdict::Counts(shown) = &kept.verdict {
                let skeleton = entry.skeleton(recorded.conversation, recorded.position, recorded.time);
                kept.verdict = Verdict::Counts(Shown::new(skeleton, shown.previous));
            }
            self.bytes = self.bytes - before + kept.size();
        }
    }
}

impl Followed {
    /// The approximate memory of the event: its data is stored as bytes, as a value, and in the frame.
    fn size(&self) -> usize {
        match &self.verdict {
            Verdict::Counts(shown) => EACH + 3 * shown.recorded.data.len(),
            Verdict::Void | Verdict::Unknown => EACH,
        }
    }
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

    fn keep(lately: &Lately, events: &[(u64, u128, Verdict<Position>)]) {
        lately.extend(0, events.iter().map(|(at, of, verdict)| (recorded(*at, *of, 0), *verdict)));
    }

    /// The events of conversation 1 that a user with these stays in it gets.
    fn told(lately: &Lately, after: u64, upto: u64, stays: &[(u64, Option<u64>)]) -> Option<Vec<u64>> {
        let stay = |(since, until): &(u64, Option<u64>)| Stay {
            conversation: id(1),
            since: Position(*since),
            until: until.map(Position),
            visible_from: Position::START,
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
        assert!(kept.bytes <= 1 << 20 && kept.events.len() == (1 << 20) / 150_512);
        assert_eq!(kept.of[&id(1)].len(), kept.events.len(), "nothing is known of what has gone");
        assert_eq!(kept.events.back().map(|event| event.point.position), Some(Position(100)));
    }

    #[test]
    fn an_event_has_one_frame_for_all_sockets_until_it_is_erased() {
        let lately = Lately::new(1);
        let always = Stay {
            conversation: id(1),
            since: Position(0),
            until: None,
            visible_from: Position::START,
            last: Position(9),
            parked: false,
        };
        let stays = HashMap::from([(id(1), vec![always])]);
        let frames = |word: &'static str| {
            let shown = lately.between(0, Position(4), Position(6), &stays).expect("events");
            shown
                .iter()
                .map(|shown| shown.frame(|_, _| Bytes::from_static(word.as_bytes())))
                .collect::<Vec<_>>()
        };
        keep(&lately, &[(5, 1, Verdict::Counts(Position(4))), (6, 1, Verdict::Counts(Position(5)))]);
        assert_eq!(frames("first"), ["first", "first"]);
        assert_eq!(frames("second"), ["first", "first"], "made once");
        let erasing = Recorded::erasing(7, id(1), &[5]);
        lately.extend(0, [(erasing, Verdict::Counts(Position(6)))].into_iter());
        assert_eq!(frames("third"), ["third", "first"]);
        let shown = lately.between(0, Position(4), Position(5), &stays).expect("events");
        assert!(shown[0].recorded.erased.is_some() && shown[0].previous == Position(4));
    }
}
