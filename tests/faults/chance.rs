//! All randomness of a run: the same seed gives the same people, texts and faults.

use std::{ops::RangeInclusive, time::Duration};

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A separate generator for a part of the run, so that the parts do not affect each other.
    pub fn apart(&self, part: &str, number: usize) -> Self {
        let mut apart = Self(self.0 ^ number as u64);
        for byte in part.bytes() {
            apart.0 = apart.next() ^ u64::from(byte);
        }
        Self(apart.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// `true` in `percent` percent of the cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        let span = (range.end() - range.start()) as usize + 1;
        Duration::from_millis(range.start() + self.below(span) as u64)
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}
