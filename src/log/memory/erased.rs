//! The erased positions of a stream, as its events `content.erased` list them: the only explanation of a hole. Each
//! position takes about 400 bytes of memory.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::{
        Bound::{Excluded, Included, Unbounded},
        RangeInclusive,
    },
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use crate::domain::{
    ConversationId, ErasedEntry, Event, EventId, Lane, MessageId, Position, Recorded, Time, UserId,
};

/// The erased positions of one stream. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::log) struct Erased(Arc<Shared>);

#[derive(Default)]
struct Shared {
    listed: RwLock<Listed>,
    /// Held while the leader is asked for more.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Listed {
    /// Whether all entries that the log had at some moment are known.
    is_loaded: bool,
    /// The last event of the lane `control` that the leader was asked for.
    read: Position,
    skeletons: BTreeMap<Position, Skeleton>,
    of_conversations: BTreeSet<(ConversationId, Position)>,
    /// The same of the roster alone, where few events are erased.
    of_rosters: BTreeSet<(ConversationId, Position)>,
    /// The leader whose missing positions were all explained, and their number. At one leader the number only grows.
    explained: Option<(Option<String>, u64)>,
    /// The positions that are not among those: there the leader may still have an event.
    left: BTreeSet<Position>,
    /// The last of them that was found to be gone. An eraser deletes in order, so the next one is probably after it.
    last_gone: Position,
}

struct Skeleton {
    conversation: ConversationId,
    told_at: Position,
    at: Time,
    entry: ErasedEntry,
}

/// An event of a conversation that the log lists as erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasedEvent {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its position.
    pub position: Position,
    /// Its time.
    pub time: Time,
    /// Its id.
    pub id: EventId,
    /// Its actor.
    pub actor: UserId,
    /// The message that it is, or is about.
    pub message: Option<MessageId>,
    /// Whether it is the message itself.
    pub is_message: bool,
    /// The event that lists it.
    pub told_at: Position,
}

impl Skeleton {
    fn recorded(&self) -> Recorded {
        self.entry.skeleton(self.conversation, self.told_at, self.at)
    }

    fn event(&self) -> ErasedEvent {
        let Self { conversation, told_at, entry, .. } = self;
        ErasedEvent {
            conversation: *conversation,
            position: entry.position,
            time: entry.time,
            id: entry.id,
            actor: entry.actor,
            message: entry.message_id,
            is_message: entry.is_message(),
            told_at: *told_at,
        }
    }
}

impl Erased {
    fn listed(&self) -> RwLockReadGuard<'_, Listed> {
        self.0.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Listed) -> T) -> T {
        change(&mut self.0.listed.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The turn to ask the leader, which one task has at a time.
    pub(in crate::log) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.turn.lock().await
    }

    pub(in crate::log) fn is_loaded(&self) -> bool {
        self.listed().is_loaded
    }

    /// The last event of the lane `control` that the leader was asked for.
    pub(in crate::log) fn read(&self) -> Position {
        self.listed().read
    }

    /// The leader was asked up to and including this event of the lane.
    pub(in crate::log) fn read_to(&self, last: Position) {
        self.change(|listed| listed.read = last.max(listed.read));
    }

    /// The leader has no later event of the lane.
    pub(in crate::log) fn is_all(&self) {
        self.change(|listed| listed.is_loaded = true);
    }

    /// How many positions are listed: a number that only grows.
    pub(in crate::log) fn count(&self) -> usize {
        self.listed().skeletons.len()
    }

    /// Adds the entries of an event, if it lists erased positions.
    pub(in crate::log) fn hear(&self, recorded: &Recorded) {
        let Some(Event::ContentErased(erased)) = &recorded.event else { return };
        self.change(|listed| {
            for entry in &erased.erased {
                // An event that lists its own position or a later one cannot know what that position will hold.
                if entry.position >= recorded.position {
                    continue;
                }
                let place = (recorded.conversation, entry.position);
                listed.of_conversations.insert(place);
                let Entry::Vacant(vacant) = listed.skeletons.entry(entry.position) else { continue };
                vacant.insert(Skeleton {
                    conversation: recorded.conversation,
                    told_at: recorded.position,
                    at: recorded.time,
                    entry: entry.clone(),
                });
                listed.left.insert(entry.position);
                if Lane::named(&entry.lane) == Some(Lane::Roster) {
                    listed.of_rosters.insert(place);
                }
            }
        });
    }

    /// The skeleton at a position, if the position is erased.
    pub(in crate::log) fn at(&self, position: Position) -> Option<Recorded> {
        self.listed().skeletons.get(&position).map(Skeleton::recorded)
    }

    /// The event as readers get it: without erased content, even before that is deleted.
    pub(in crate::log) fn told(&self, recorded: Recorded) -> Recorded {
        self.at(recorded.position).unwrap_or(recorded)
    }

    /// The position of the event that lists a position as erased.
    pub(in crate::log) fn told_at(&self, position: Position) -> Option<Position> {
        self.listed().skeletons.get(&position).map(|skeleton| skeleton.told_at)
    }

    /// The skeletons between two positions, at most `most` of them, if all positions in between are erased.
    pub(in crate::log) fn all_between(
        &self,
        after: Position,
        before: Position,
        most: usize,
    ) -> Option<Vec<Recorded>> {
        let listed = self.listed();
        let between = || listed.skeletons.range((Excluded(after), Excluded(before)));
        let is_all = between().count() as u64 == before.0 - after.0 - 1;
        is_all.then(|| between().take(most).map(|(_, skeleton)| skeleton.recorded()).collect())
    }

    /// The skeletons of some conversations after `after`, up to and including `upto`.
    pub(in crate::log) fn of(
        &self,
        conversations: impl Iterator<Item = ConversationId>,
        after: Position,
        upto: Position,
    ) -> Vec<Recorded> {
        let listed = self.listed();
        if listed.skeletons.is_empty() || after >= upto {
            return Vec::new();
        }
        let range = |id| (Excluded((id, after)), Included((id, upto)));
        let positions = conversations.flat_map(|id| listed.of_conversations.range(range(id)));
        let mut positions: Vec<Position> = positions.map(|(_, position)| *position).collect();
        positions.sort_unstable();
        positions.iter().filter_map(|at| listed.skeletons.get(at)).map(Skeleton::recorded).collect()
    }

    /// The skeletons in the roster of a conversation after `after`, up to and including `upto`.
    pub(in crate::log) fn of_roster(
        &self,
        conversation: ConversationId,
        after: Position,
        upto: Position,
    ) -> Vec<Recorded> {
        if after >= upto {
            return Vec::new();
        }
        let listed = self.listed();
        let range = (Excluded((conversation, after)), Included((conversation, upto)));
        let skeletons = listed.of_rosters.range(range).filter_map(|(_, at)| listed.skeletons.get(at));
        skeletons.map(Skeleton::recorded).collect()
    }

    /// The last skeleton in the roster of a conversation up to and including `upto`, and the last one outside of it:
    /// only the roster and the timeline have text that a person has typed.
    pub(in crate::log) fn last_of(&self, conversation: ConversationId, upto: Position) -> Vec<Recorded> {
        let listed = self.listed();
        let all = (conversation, Position::START)..=(conversation, upto);
        let of_roster = listed.of_rosters.range(all.clone()).next_back();
        let other = listed.of_conversations.range(all).rev().find(|place| !listed.of_rosters.contains(place));
        let places = of_roster.into_iter().chain(other);
        let skeletons = places.filter_map(|(_, at)| listed.skeletons.get(at));
        skeletons.map(Skeleton::recorded).collect()
    }

    /// All erased events, in order.
    pub(in crate::log) fn events(&self) -> Vec<ErasedEvent> {
        self.listed().skeletons.values().map(Skeleton::event).collect()
    }

    /// The erased events of a conversation, in order.
    pub(in crate::log) fn events_of(&self, conversation: ConversationId) -> Vec<ErasedEvent> {
        let listed = self.listed();
        let all = (conversation, Position::START)..=(conversation, Position::MAX);
        let skeletons = listed.of_conversations.range(all).filter_map(|(_, at)| listed.skeletons.get(at));
        skeletons.map(Skeleton::event).collect()
    }

    /// Removes the erased positions from holes.
    pub(in crate::log) fn unexplained(
        &self,
        holes: &[RangeInclusive<Position>],
    ) -> Vec<RangeInclusive<Position>> {
        let listed = self.listed();
        let mut left = Vec::new();
        for hole in holes {
            let (mut start, end) = (*hole.start(), *hole.end());
            for (position, _) in listed.skeletons.range(hole.clone()) {
                if *position > start {
                    left.push(start..=Position(position.0 - 1));
                }
                start = Position(position.0 + 1);
            }
            if start <= end {
                left.push(start..=end);
            }
        }
        left
    }

    /// How many of the missing positions of this leader are not known to be explained; `None` if nothing is known of it.
    pub(in crate::log) fn unexplained_of(&self, leader: Option<&str>, missing: u64) -> Option<u64> {
        let listed = self.listed();
        let (_, explained) = listed.explained.as_ref().filter(|(of, _)| of.as_deref() == leader)?;
        missing.checked_sub(*explained)
    }

    /// Notes that each missing position of this leader, in these holes, is explained.
    pub(in crate::log) fn note_explained(
        &self,
        leader: Option<String>,
        missing: u64,
        holes: &[RangeInclusive<Position>],
    ) {
        self.change(|listed| {
            let gone = |at: &Position| {
                let before = holes.partition_point(|hole| hole.end() < at);
                holes.get(before).is_some_and(|hole| hole.contains(at))
            };
            listed.left = listed.skeletons.keys().copied().filter(|at| !gone(at)).collect();
            listed.explained = Some((leader, missing));
            listed.last_gone = Position::START;
        });
    }

    /// The listed positions that the leader is likely to lose next, at most `most` of them.
    pub(in crate::log) fn next_gone(&self, most: usize) -> Vec<Position> {
        let listed = self.listed();
        let after = listed.left.range((Excluded(listed.last_gone), Unbounded));
        after.chain(listed.left.range(..=listed.last_gone)).take(most).copied().collect()
    }

    /// Notes that the leader whose missing positions were explained has lost one more listed position.
    pub(in crate::log) fn note_gone(&self, position: Position) {
        self.change(|listed| {
            if let Some((_, missing)) = &mut listed.explained
                && listed.left.remove(&position)
            {
                *missing += 1;
                listed.last_gone = position;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure(told_at: u64, positions: &[u64]) -> Recorded {
        Recorded::erasing(told_at, ConversationId::known(uuid::Uuid::from_u128(7)), positions)
    }

    #[test]
    fn a_listed_position_explains_a_hole_and_its_neighbour_does_not() {
        let erased = Erased::default();
        erased.hear(&erasure(20, &[3, 5, 6]));
        let hole = |first, last| Position(first)..=Position(last);
        assert_eq!(erased.unexplained(&[hole(3, 3), hole(5, 6)]), []);
        assert_eq!(erased.unexplained(&[hole(2, 7)]), [hole(2, 2), hole(4, 4), hole(7, 7)]);
        assert_eq!(erased.unexplained(&[hole(9, 9)]), [hole(9, 9)]);
        assert!(erased.all_between(Position(4), Position(7), 9).is_some_and(|all| all.len() == 2));
        assert!(erased.all_between(Position(2), Position(7), 9).is_none(), "4 is not listed");
    }

    #[test]
    fn what_is_gone_one_by_one_needs_no_list_and_a_hole_in_between_does() {
        let erased = Erased::default();
        erased.hear(&erasure(20, &[3, 5, 6, 9]));
        let (one, other) = (Some("one"), Some("other"));
        assert_eq!(erased.unexplained_of(one, 1), None, "the leader has not listed its holes");
        erased.note_explained(Some("one".into()), 1, &[Position(5)..=Position(5)]);
        assert_eq!((erased.unexplained_of(one, 1), erased.unexplained_of(one, 3)), (Some(0), Some(2)));
        assert_eq!(erased.unexplained_of(other, 1), None, "another leader may have lost others");
        assert_eq!(erased.next_gone(9), [3, 6, 9].map(Position));
        erased.note_gone(Position(6));
        erased.note_gone(Position(6));
        erased.note_gone(Position(7));
        assert_eq!(erased.unexplained_of(one, 3), Some(1), "6 is listed, and 7 is not");
        assert_eq!(erased.next_gone(9), [9, 3].map(Position));
        erased.hear(&erasure(30, &[12]));
        assert_eq!(erased.next_gone(2), [9, 12].map(Position));
    }

    #[test]
    fn the_last_one_in_the_roster_and_the_last_other_one_are_found_among_many() {
        let (erased, id) = (Erased::default(), ConversationId::known(uuid::Uuid::from_u128(7)));
        let mut recorded = erasure(20, &[3, 4, 5, 6, 7]);
        if let Some(Event::ContentErased(erased)) = &mut recorded.event {
            for entry in erased.erased.iter_mut().filter(|entry| [4, 7].contains(&entry.position.0)) {
                entry.lane = "roster".into();
            }
        }
        erased.hear(&recorded);
        let positions = |found: Vec<Recorded>| found.iter().map(|one| one.position.0).collect::<Vec<_>>();
        let last = |upto| positions(erased.last_of(id, Position(upto)));
        assert_eq!([last(9), last(6), last(3), last(2)], [vec![7, 6], vec![4, 6], vec![3], vec![]]);
        let roster = |after, upto| positions(erased.of_roster(id, Position(after), Position(upto)));
        assert_eq!([roster(2, 9), roster(4, 7), roster(7, 7)], [vec![4, 7], vec![7], vec![]]);
    }

    #[test]
    fn nobody_lists_what_is_to_come() {
        let erased = Erased::default();
        erased.hear(&erasure(20, &[19, 20, 21]));
        assert_eq!([19, 20, 21].map(|at| erased.at(Position(at)).is_some()), [true, false, false]);
    }

    #[test]
    fn what_is_told_has_ids_and_no_text() {
        let erased = Erased::default();
        erased.hear(&erasure(20, &[3]));
        let told = erased.told(Recorded::meaningless(3, ConversationId::known(uuid::Uuid::nil()), 100));
        assert_eq!(
            std::str::from_utf8(&told.data),
            Ok(r#"{"erased":true,"message_id":"00000000-0000-0000-0000-000000000007"}"#)
        );
        assert_eq!(told.erased.map(|erasure| erasure.told_at), Some(Position(20)));
    }
}
