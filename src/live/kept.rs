//! What this process remembers of many things: bounded while nobody uses them, and never without what
//! somebody holds.
//!
//! An entry that is held must stay reachable, or two values for one key would be kept current by
//! halves. It does, by an argument about order: values leave this map only as clones of an [`Arc`], and
//! both handing one out and evicting take `&mut self`, so they happen one after the other. While an
//! entry is looked at and its count is 1, the map is its only owner and nobody can become another one;
//! then it goes, and who asks next makes a new one. Nothing may hold a `Weak`.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};

/// Entries that are looked at for each one that comes in beyond the capacity. It has to be more than
/// one, or a map that is full of entries in use never shrinks when they are let go; and it is constant,
/// so that an insertion costs the same however many there are.
const LOOKS: usize = 8;

/// A map with a second chance: an entry that was asked for since the hand last passed stays for one more
/// round.
///
/// Entries in use are kept beyond the capacity. Beside `n` of them a round takes at most `n / LOOKS`
/// insertions and an unused entry survives two, so the unused ones beyond the capacity are at most
/// about a third of those in use.
pub(crate) struct Kept<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// All keys, in the order in which the hand comes to them.
    round: VecDeque<K>,
    capacity: usize,
}

struct Entry<V> {
    value: Arc<V>,
    asked_for: bool,
}

impl<K: Hash + Eq + Copy, V> Kept<K, V> {
    /// Keeps so many while nobody uses them.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), round: VecDeque::new(), capacity }
    }

    /// What is kept, for somebody who asks for it.
    pub(crate) fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let entry = self.entries.get_mut(key)?;
        entry.asked_for = true;
        Some(entry.value.clone())
    }

    /// The same for what happens of itself: it is no reason to keep it for longer.
    pub(crate) fn peek(&self, key: &K) -> Option<&Arc<V>> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// What is kept, or else what is made now.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some(value) = self.get(&key) {
            return value;
        }
        let value = Arc::new(make());
        self.entries.insert(key, Entry { value: value.clone(), asked_for: false });
        self.round.push_back(key);
        self.evict();
        value
    }

    fn evict(&mut self) {
        for _ in 0..LOOKS {
            if self.round.len() <= self.capacity {
                return;
            }
            let Some(key) = self.round.pop_front() else { return };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let is_held = Arc::strong_count(&entry.value) > 1;
            if is_held || std::mem::take(&mut entry.asked_for) {
                self.round.push_back(key);
            } else {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(capacity: usize, keys: std::ops::Range<u32>) -> Kept<u32, u32> {
        let mut kept = Kept::new(capacity);
        for key in keys {
            kept.get_or_insert_with(key, || key);
        }
        kept
    }

    #[test]
    fn the_longest_unused_goes_and_who_was_asked_for_stays_a_round() {
        let mut kept = with(3, 0..3);
        assert!(kept.get(&0).is_some());
        kept.get_or_insert_with(3, || 3);
        assert_eq!([0, 1, 2, 3].map(|key| kept.peek(&key).is_some()), [true, false, true, true]);
        kept.get_or_insert_with(4, || 4);
        kept.get_or_insert_with(5, || 5);
        assert_eq!([0, 3, 4, 5].map(|key| kept.peek(&key).is_some()), [true, false, true, true]);
        kept.get_or_insert_with(6, || 6);
        assert_eq!([0, 4, 5, 6].map(|key| kept.peek(&key).is_some()), [false, true, true, true]);
    }

    #[test]
    fn what_is_held_stays_the_same_whatever_comes() {
        let mut kept = Kept::new(10);
        let held: Vec<_> = (0..100_u32).map(|key| kept.get_or_insert_with(key, || key)).collect();
        for key in 100..10_000 {
            kept.get_or_insert_with(key, || key);
        }
        for (key, value) in held.iter().enumerate() {
            let again = kept.get_or_insert_with(key as u32, || panic!("{key} was forgotten"));
            assert!(Arc::ptr_eq(value, &again));
        }
        assert!(kept.entries.len() < 150, "{} beside 100 that are held", kept.entries.len());
    }

    #[test]
    fn what_was_held_goes_when_it_is_let_go() {
        let mut kept = Kept::new(10);
        drop((0..1_000_u32).map(|key| kept.get_or_insert_with(key, || key)).collect::<Vec<_>>());
        for key in 1_000..1_200 {
            kept.get_or_insert_with(key, || key);
        }
        assert_eq!((kept.entries.len(), kept.round.len()), (10, 10));
    }

    /// The bound is what is looked at, not a time: beyond the capacity, with all of it in use, one
    /// insertion moves the hand by no more than [`LOOKS`].
    #[test]
    fn an_insertion_costs_the_same_however_many_are_in_use() {
        let mut kept = Kept::new(10);
        let _held: Vec<_> = (0..5_000_u32).map(|key| kept.get_or_insert_with(key, || key)).collect();
        let next = *kept.round.front().expect("keys");
        let _one_more = kept.get_or_insert_with(5_000, || 5_000);
        let moved = kept.round.iter().rev().position(|key| *key == 5_000).expect("it has just come in");
        assert_eq!(moved, LOOKS);
        assert_eq!(kept.round.iter().rev().nth(LOOKS - 1), Some(&next));
    }
}
