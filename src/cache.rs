//! A bounded cache: it remembers answers that cost a question, until a change makes it forget them.
//!
//! A [`Cache`] holds a maximum weight. When an entry is added beyond that weight, `quick_cache` evicts entries that are
//! rarely used (CLOCK-Pro: a flood of keys that are asked for once does not evict the keys in use). An eviction costs
//! time and never correctness, because a miss asks again. Knowledge that must not be lost belongs in a register and not
//! in a cache; ARCHITECTURE.md lists the caches and the registers.
//!
//! # No answer outlives a change that it does not show
//!
//! A change can be stored, and this process can learn of it, between a question to the database and the answer. The
//! answer then shows the state before the change, and a cache that kept the answer would serve it for a long time.
//! Therefore:
//!
//! 1. The caller takes a number ([`Cache::ask`]) and *then* asks the database.
//! 2. [`Cache::forget`] removes the entry and notes the last number that was taken. A change is stored before
//!    any process is told of the change.
//! 3. [`Cache::answer`] keeps an answer only if its number is greater than the noted one.
//!
//! All three take one lock, as every read does, so they happen one after the other. If the number was taken
//! before `forget`, the note is at least that number, and the answer is not kept, however late it arrives. If
//! the number was taken after `forget`, the database was asked after the change was stored, and the answer
//! shows the change. A number that is taken after the question has no such proof: the change may lie between
//! the question and the number.
//!
//! The note holds for all keys, so after a change of one key the answers to all open questions are not kept.
//! Those questions are asked once more; in return no key without an entry needs memory. Each entry has the
//! number of its question, and an older answer does not replace a younger one.

use std::{
    fmt,
    hash::{Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use quick_cache::{Weighter, unsync};

use crate::telemetry::{CACHES, OneCache};

/// Entries up to a maximum weight. The closures that callers pass run under the lock of the cache: they have
/// to be short and must not use the same cache.
pub(crate) struct Cache<K, V>(Mutex<Inner<K, V>>);

/// The number of a question whose answer has not arrived yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question(u64);

struct Inner<K, V> {
    /// Keys can come from outside, so the map hashes them with a secret key.
    entries: unsync::Cache<K, Entry<V>, Weigh<V>, RandomState>,
    /// The number of the last question.
    asked: u64,
    /// The number of the last question that was taken before the last change.
    changed: u64,
    told: Told,
}

/// The metrics of a cache. All caches with the same name share one gauge, to which each adds its own entries.
struct Told {
    metrics: OneCache,
    entries: i64,
}

impl Told {
    fn tell(&mut self, entries: usize) {
        let entries = entries as i64;
        if entries != self.entries {
            self.metrics.entries.inc_by(entries - self.entries);
            self.entries = entries;
        }
    }

    fn count(&self, is_hit: bool) {
        if is_hit {
            self.metrics.hits.inc()
        } else {
            self.metrics.misses.inc()
        };
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.metrics.entries.dec_by(self.entries);
    }
}

struct Entry<V> {
    value: V,
    /// The number of the question to which `value` is the answer.
    asked: u64,
}

struct Weigh<V> {
    each: usize,
    of: fn(&V) -> usize,
}

impl<K, V> Weighter<K, Entry<V>> for Weigh<V> {
    fn weight(&self, _: &K, entry: &Entry<V>) -> u64 {
        (self.each + (self.of)(&entry.value)) as u64
    }
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of at most `most` entries, under a name for the metrics.
    pub(crate) fn new(name: &'static str, most: usize) -> Self {
        Self::weighing(name, most, 1, |_| 0)
    }

    /// A cache of at most the weight `most`. An entry weighs `each` plus the weight `of` its value. `each` is
    /// at least 1, because an entry without weight is never evicted. The weight of a value may change only
    /// within [`Self::change`].
    pub(crate) fn weighing(name: &'static str, most: usize, each: usize, of: fn(&V) -> usize) -> Self {
        let each = each.max(1);
        let (entries, weight) = (most / each, most as u64);
        let entries =
            unsync::Cache::with(entries, weight, Weigh { each, of }, RandomState::new(), Default::default());
        let told = Told { metrics: CACHES.of(name), entries: 0 };
        Self(Mutex::new(Inner { entries, asked: 0, changed: 0, told }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        let inner = self.inner();
        let value = inner.entries.get(key).map(|entry| entry.value.clone());
        inner.told.count(value.is_some());
        value
    }

    /// Returns the value, and makes and keeps one if there is none. A value over the maximum weight is made
    /// and not kept.
    pub(crate) fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        let mut inner = self.inner();
        if let Some(entry) = inner.entries.get(&key) {
            inner.told.count(true);
            return entry.value.clone();
        }
        inner.told.count(false);
        let value = make();
        inner.insert(key, value.clone());
        value
    }

    /// Keeps a value that no change can outdate, or whose changes the caller excludes by its own lock.
    pub(crate) fn insert(&self, key: K, value: V) {
        self.inner().insert(key, value);
    }

    /// Changes a value, and evicts entries if the value has outgrown the room. `None`: there is no entry.
    pub(crate) fn change<T>(&self, key: &K, change: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut inner = self.inner();
        let changed = change(&mut inner.entries.get_mut(key)?.value);
        inner.fit(key);
        Some(changed)
    }

    /// Takes the number of a question, before the caller asks the question.
    pub(crate) fn ask(&self) -> Question {
        let mut inner = self.inner();
        inner.asked += 1;
        Question(inner.asked)
    }

    /// Keeps the answer to a question, unless a key was forgotten since the number was taken, or a younger question
    /// about the key has been answered.
    pub(crate) fn answer(&self, Question(asked): Question, key: K, value: V) {
        let mut inner = self.inner();
        let is_older = inner.entries.peek(&key).is_some_and(|entry| entry.asked > asked);
        if asked > inner.changed && !is_older {
            inner.entries.insert(key, Entry { value, asked });
            inner.tell();
        }
    }

    /// Removes the entry of a key, because the truth about the key has changed.
    pub(crate) fn forget(&self, key: &K) {
        let mut inner = self.inner();
        inner.changed = inner.asked;
        inner.entries.remove(key);
        inner.tell();
    }

    /// Keeps only the entries that `keep` accepts. The others are removed to save memory, not because they
    /// changed.
    pub(crate) fn retain(&self, keep: impl Fn(&V) -> bool) {
        let mut inner = self.inner();
        inner.entries.retain(|_, entry| keep(&entry.value));
        inner.tell();
    }

    /// Something of each value, in no order.
    pub(crate) fn map_all<T>(&self, of: impl Fn(&V) -> T) -> Vec<T> {
        self.inner().entries.iter().map(|(_, entry)| of(&entry.value)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner().entries.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        usize::try_from(self.inner().entries.weight()).expect("a weight in memory")
    }
}

impl<K: Hash + Eq, V> Inner<K, V> {
    fn insert(&mut self, key: K, value: V) {
        self.entries.insert(key, Entry { value, asked: self.asked });
        self.tell();
    }

    fn tell(&mut self) {
        self.told.tell(self.entries.len());
    }

    /// Evicts entries after one has grown. `quick_cache` evicts when an entry is inserted, and not when an entry grows,
    /// so the grown entry is removed and inserted again.
    fn fit(&mut self, key: &K) {
        if self.entries.weight() > self.entries.capacity()
            && let Some((key, entry)) = self.entries.remove(key)
        {
            self.entries.insert(key, entry);
        }
        self.tell();
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of the three steps of one question and the two steps of one change. The truth is the
    /// content of the database; a change is stored first and heard afterwards.
    #[test]
    fn no_answer_outlives_a_change_that_it_does_not_show() {
        #[derive(Clone, Copy, PartialEq)]
        enum Step {
            Ask,
            Read,
            Answer,
            Store,
            Hear,
        }
        use Step::{Answer, Ask, Hear, Read, Store};

        let orders = [
            [Ask, Read, Answer, Store, Hear],
            [Ask, Read, Store, Answer, Hear],
            [Ask, Read, Store, Hear, Answer],
            [Ask, Store, Read, Answer, Hear],
            [Ask, Store, Read, Hear, Answer],
            [Ask, Store, Hear, Read, Answer],
            [Store, Ask, Read, Answer, Hear],
            [Store, Ask, Read, Hear, Answer],
            [Store, Ask, Hear, Read, Answer],
            [Store, Hear, Ask, Read, Answer],
        ];
        for (number, order) in orders.into_iter().enumerate() {
            let (cache, mut truth, mut question, mut read) = (Cache::new("test", 8), "before", None, "");
            cache.insert(7, "before");
            for step in order {
                match step {
                    Ask => question = Some(cache.ask()),
                    Read => read = truth,
                    Answer => cache.answer(question.expect("asked"), 7, read),
                    Store => truth = "after",
                    Hear => cache.forget(&7),
                }
            }
            assert_ne!(cache.get(&7), Some("before"), "order {number}");
        }
        let cache = Cache::new("test", 8);
        cache.forget(&7);
        cache.answer(cache.ask(), 7, "after");
        assert_eq!(cache.get(&7), Some("after"), "a question after the change is answered for good");
    }

    #[test]
    fn an_older_answer_does_not_replace_a_younger_one() {
        let cache = Cache::new("test", 8);
        let (older, younger) = (cache.ask(), cache.ask());
        cache.answer(younger, 1, "younger");
        cache.answer(older, 1, "older");
        assert_eq!(cache.get(&1), Some("younger"));
        cache.answer(older, 2, "older");
        cache.answer(younger, 2, "younger");
        assert_eq!(cache.get(&2), Some("younger"));
    }

    #[test]
    fn the_weight_is_bounded_also_when_values_grow_and_a_key_in_use_stays() {
        let cache: Cache<usize, Vec<u8>> = Cache::weighing("test", 1_000, 2, Vec::len);
        for key in 0..10_000 {
            cache.insert(key, vec![0; key % 7]);
            assert!(cache.get(&0).is_some(), "evicted by {key}");
            assert!(cache.weight() <= 1_000);
        }
        for _ in 0..900 {
            cache.change(&0, |value| value.push(0)).expect("the key in use");
            assert!(cache.weight() <= 1_000);
        }
        assert_eq!(cache.get(&0).map(|value| value.len()), Some(900));
        cache.change(&0, |value| value.resize(2_000, 0));
        assert_eq!(cache.get(&0), None, "a value over the maximum is not kept");
        assert!(cache.weight() <= 1_000);
    }

    #[test]
    fn a_cache_without_room_makes_values_and_keeps_none() {
        let cache = Cache::new("test", 0);
        assert_eq!([1, 2].map(|made| cache.get_or_insert_with(7, || made)), [1, 2]);
        assert_eq!(cache.weight(), 0);
    }
}
