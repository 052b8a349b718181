//! The budgets of this process in a map of fixed size: no flood of keys can fill the memory, and no check
//! allocates.
//!
//! A hash belongs to one shard, and there to one set of eight places. A new key takes a place that is free or
//! whose budget is full, because a full budget says no more than an absent one. If all eight budgets are in
//! use, the key takes the place of the budget that is full soonest. So the keys that were throttled last are
//! forgotten last.

use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;
const SETS: usize = 2_048;
const WAYS: usize = 8;
/// How many touched keys a shard can list between two rounds of gossip. After more, the whole shard is
/// scanned.
const TOUCHED: usize = 1_024;
/// The bits of the units of a key that wait for the next round of gossip, and the most units.
const UNITS: u32 = 0xff_ffff;
const MOST_SPENT: i32 = 0x7f_ffff;

/// All budgets.
pub(super) struct Map(Box<[Mutex<Shard>]>);

/// The columns of a shard. A place without a key has the hash 0. Columns of zeros take no memory before their
/// first use.
struct Shard {
    hashes: Vec<u64>,
    /// The time at which each budget is full again.
    arrivals: Vec<u64>,
    /// The units that were spent here and not reported yet: the policy in the highest byte, the units below. Units that
    /// are given back after they were reported make the number negative, and are subtracted from the next reports.
    spent: Vec<u32>,
    touched: Vec<u32>,
    /// Whether more keys were touched than `touched` holds.
    is_crowded: bool,
}

/// The result of a change to a budget.
pub(super) struct Change<T> {
    /// The new arrival time.
    pub(super) arrival: u64,
    /// The units to add to, or take from, the next report to the other nodes.
    pub(super) spent: i32,
    /// The result for the caller.
    pub(super) answer: T,
}

/// Units that were spent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) hash: u64,
    pub(super) policy: u8,
    pub(super) units: u32,
}

impl Map {
    pub(super) fn new() -> Self {
        let shard = || Shard {
            hashes: vec![0; SETS * WAYS],
            arrivals: vec![0; SETS * WAYS],
            spent: vec![0; SETS * WAYS],
            touched: Vec::with_capacity(TOUCHED),
            is_crowded: false,
        };
        Self((0..SHARDS).map(|_| Mutex::new(shard())).collect())
    }

    /// Changes a budget under the lock of its shard. A key that is not in the map has a full budget.
    pub(super) fn change<T>(
        &self,
        hash: u64,
        policy: u8,
        now: u64,
        change: impl FnOnce(u64) -> Change<T>,
    ) -> T {
        let mut shard = self.shard(hash);
        let place = shard.place(hash, now);
        let Change { arrival, spent, answer } = change(shard.arrivals[place]);
        shard.arrivals[place] = arrival;
        if spent != 0 {
            shard.note(place, policy, spent);
        }
        answer
    }

    /// The time at which a budget is full again; 0 if the key is not in the map.
    pub(super) fn arrival(&self, hash: u64) -> u64 {
        let shard = self.shard(hash);
        let set = set(hash);
        (set..set + WAYS).find(|at| shard.hashes[*at] == hash).map_or(0, |at| shard.arrivals[at])
    }

    /// Takes out the units that were spent since the last call.
    pub(super) fn take_spent(&self, mut each: impl FnMut(Spent)) {
        for shard in &self.0 {
            let mut shard = locked(shard);
            if std::mem::take(&mut shard.is_crowded) {
                shard.touched.clear();
                (0..SETS * WAYS).for_each(|place| shard.take(place, &mut each));
            } else {
                while let Some(place) = shard.touched.pop() {
                    shard.take(place as usize, &mut each);
                }
            }
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        locked(&self.0[(hash >> 58) as usize % SHARDS])
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first place of the set of a hash.
fn set(hash: u64) -> usize {
    hash as usize % SETS * WAYS
}

impl Shard {
    /// Finds the place of a key, or gives the key a place.
    fn place(&mut self, hash: u64, now: u64) -> usize {
        let set = set(hash);
        let places = set..set + WAYS;
        if let Some(place) = places.clone().find(|place| self.hashes[*place] == hash) {
            return place;
        }
        let full_soonest = |place: &usize| match self.hashes[*place] {
            0 => 0,
            _ => self.arrivals[*place].max(now),
        };
        let place = places.min_by_key(full_soonest).unwrap_or(set);
        self.hashes[place] = hash;
        self.arrivals[place] = 0;
        self.spent[place] = 0;
        place
    }

    fn note(&mut self, place: usize, policy: u8, more: i32) {
        let before = units(self.spent[place]);
        let after = before.saturating_add(more).clamp(-MOST_SPENT, MOST_SPENT);
        self.spent[place] = u32::from(policy) << 24 | after.cast_unsigned() & UNITS;
        if before <= 0 && after > 0 {
            if self.touched.len() < TOUCHED {
                self.touched.push(place as u32);
            } else {
                self.is_crowded = true;
            }
        }
    }

    fn take(&mut self, place: usize, each: &mut impl FnMut(Spent)) {
        let spent = self.spent[place];
        let (policy, units) = ((spent >> 24) as u8, units(spent));
        if units > 0 {
            self.spent[place] = 0;
            each(Spent { hash: self.hashes[place], policy, units: units.cast_unsigned() });
        }
    }
}

/// The units in an entry of [`Shard::spent`], which has 24 bits with a sign for them.
fn units(spent: u32) -> i32 {
    (spent << 8).cast_signed() >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spends a unit, and sets the time at which the budget is full.
    fn spend(map: &Map, hash: u64, now: u64, until: u64) -> u64 {
        map.change(hash, 9, now, |before| Change { arrival: until, spent: 1, answer: before })
    }

    fn told(map: &Map) -> Vec<Spent> {
        let mut all = Vec::new();
        map.take_spent(|spent| all.push(spent));
        all
    }

    #[test]
    fn a_budget_is_remembered_and_told_once() {
        let map = Map::new();
        assert_eq!(map.arrival(7), 0);
        assert_eq!(spend(&map, 7, 1, 100), 0);
        assert_eq!(spend(&map, 7, 1, 200), 100);
        assert_eq!(map.arrival(7), 200);
        assert_eq!(told(&map), [Spent { hash: 7, policy: 9, units: 2 }]);
        assert_eq!(told(&map), []);
        map.change(7, 9, 1, |arrival| Change { arrival, spent: -1, answer: () });
        assert_eq!(told(&map), [], "what is given back cannot be taken back from the others");
        spend(&map, 7, 1, 300);
        assert_eq!(told(&map), [], "the next unit stands for the one that was given back");
        spend(&map, 7, 1, 400);
        assert_eq!(told(&map), [Spent { hash: 7, policy: 9, units: 1 }]);
        spend(&map, 7, 1, 500);
        map.change(7, 9, 1, |arrival| Change { arrival, spent: -1, answer: () });
        assert_eq!(told(&map), []);
    }

    #[test]
    fn a_full_budget_gives_way_first_and_then_the_one_that_is_full_soonest() {
        let map = Map::new();
        let key = |n: u64| n * SETS as u64 + 1;
        for n in 1..=8 {
            spend(&map, key(n), 0, 1_000 + n);
        }
        // The third budget is full at 1,003.
        map.change(key(3), 9, 0, |_| Change { arrival: 500, spent: 0, answer: () });
        spend(&map, key(9), 600, 2_000);
        assert_eq!(map.arrival(key(3)), 0, "forgotten without a loss");
        assert!((1..=9).filter(|n| *n != 3).all(|n| map.arrival(key(n)) > 0));
        spend(&map, key(10), 600, 2_000);
        assert_eq!(map.arrival(key(1)), 0, "the soonest");
        assert!([2, 4, 5, 6, 7, 8, 9, 10].iter().all(|n| map.arrival(key(*n)) > 0));
    }

    #[test]
    fn more_keys_than_places_stay_within_the_places_and_all_are_told() {
        let map = Map::new();
        let mut hash = 1_u64;
        let mut next = || {
            hash = hash.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            hash.max(1)
        };
        for _ in 0..300_000 {
            spend(&map, next(), 0, 1_000);
        }
        let all = told(&map);
        assert!((290_000..=300_000).contains(&all.len()), "{}: crowded sets forget some", all.len());
        assert!(all.iter().all(|spent| spent.units == 1 && spent.policy == 9));
        for _ in 0..2_000_000 {
            spend(&map, next(), 0, 1_000);
        }
        assert!(told(&map).len() <= SHARDS * SETS * WAYS);
    }
}
