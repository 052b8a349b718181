//! A register: one value for each key, which stays the same value for as long as a task holds it.
//!
//! The follower of a stream keeps the values in memory current. If there were two values for one key, the follower
//! would keep one of them current, and a task could decide on the other. A cache alone can create two: it evicts a
//! value that a task still holds, and the next task creates another. Therefore a register has two parts. `all` finds
//! every live value but keeps none alive. `recent`, a cache, keeps the recently used values alive.
//!
//! There is never a second value, because of the order of steps. A value is created only if `all` has no live one, and
//! a value whose last holder has dropped it cannot come back to life: a count of 0 never rises. Two tasks cannot create
//! a value for one key at once, because creating takes `&mut self`.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use crate::cache::Cache;

/// With fewer keys than this, a sweep is not worth its cost.
const FEW: usize = 64;

/// Keeps values while they are held, and a limited number of unused values.
pub(crate) struct Register<K, V> {
    all: HashMap<K, Weak<V>>,
    recent: Cache<K, Arc<V>>,
    /// The number of keys at which the keys of dead values are removed. It is at least twice the number of keys after
    /// the last sweep, so that the amortised cost of an insertion is constant.
    sweep_at: usize,
}

impl<K: Hash + Eq + Copy, V> Register<K, V> {
    /// A register that keeps up to `unused` unused values, under a name for the metrics.
    pub(crate) fn new(name: &'static str, unused: usize) -> Self {
        Self { all: HashMap::new(), recent: Cache::new(name, unused), sweep_at: 2 * FEW }
    }

    /// The value, for a caller that uses it.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        if let Some(value) = self.recent.get(key) {
            return Some(value);
        }
        let value = self.peek(key)?;
        self.recent.insert(*key, value.clone());
        Some(value)
    }

    /// The value, for the follower. It is not kept for longer, because an event alone is no reason to.
    pub(crate) fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.all.get(key)?.upgrade()
    }

    /// The live value, or else a new one from `make`.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some(value) = self.get(&key) {
            return value;
        }
        if self.all.len() >= self.sweep_at {
            self.all.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = 2 * self.all.len().max(FEW);
        }
        let value = Arc::new(make());
        self.all.insert(key, Arc::downgrade(&value));
        self.recent.insert(key, value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn living(register: &Register<u32, u32>) -> usize {
        register.all.values().filter(|value| value.strong_count() > 0).count()
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let mut register = Register::new("test", 10);
        for key in 0..100 {
            register.get_or_insert_with(key, || key);
            assert!(register.get(&0).is_some(), "forgotten when {key} came");
        }
        assert_eq!(living(&register), 10);
    }

    #[test]
    fn what_is_held_stays_the_same_whatever_comes() {
        let mut register = Register::new("test", 10);
        let held: Vec<_> = (0..100_u32).map(|key| register.get_or_insert_with(key, || key)).collect();
        for key in 100..10_000 {
            register.get_or_insert_with(key, || key);
        }
        for (key, value) in held.iter().enumerate() {
            let key = key as u32;
            assert!(register.peek(&key).is_some_and(|peeked| Arc::ptr_eq(value, &peeked)));
            let again = register.get_or_insert_with(key, || panic!("{key} was forgotten"));
            assert!(Arc::ptr_eq(value, &again));
        }
        assert!(living(&register) <= 110, "{} beside 100 that are held", living(&register));
    }

    #[test]
    fn what_was_held_goes_when_it_is_let_go() {
        let mut register = Register::new("test", 10);
        drop((0..1_000_u32).map(|key| register.get_or_insert_with(key, || key)).collect::<Vec<_>>());
        assert_eq!(living(&register), 10);
        for key in 1_000..3_000 {
            register.get_or_insert_with(key, || key);
            assert!(register.all.len() <= 2_000);
        }
        assert!(register.all.len() <= 2 * FEW, "{} keys of dead values", register.all.len());
    }

    /// Bounds the number of keys that sweeps visit, not a time: between two sweeps there are at least as many
    /// insertions as a sweep leaves keys.
    #[test]
    fn an_insertion_costs_the_same_however_many_are_in_use() {
        let mut register = Register::new("test", 10);
        let (mut held, mut sweeps, mut looked_at) = (Vec::new(), 0, 0);
        for key in 0..20_000_u32 {
            let (before, keys) = (register.sweep_at, register.all.len());
            held.push(register.get_or_insert_with(key, || key));
            if register.sweep_at != before {
                (sweeps, looked_at) = (sweeps + 1, looked_at + keys);
            }
        }
        assert!(sweeps > 1 && looked_at <= 2 * held.len(), "{looked_at} in {sweeps} sweeps");
    }
}
