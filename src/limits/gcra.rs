//! The generic cell rate algorithm on integers. Each key has one number, the *theoretical arrival time*, at
//! which the budget of the key is full again. Pure: times are nanoseconds since an origin that the caller
//! chooses.

/// How fast a budget fills and how much the budget holds, as times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time in which the budget grows by one unit.
    interval: u64,
    /// The time in which an empty budget becomes full.
    capacity: u64,
}

/// The rest of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// The whole units that are left.
    pub(super) units: u32,
    /// The time until there is one more unit; 0 for a full budget.
    pub(super) next: u64,
}

/// Consumption on other nodes can put a key into debt, for bursts that hit many nodes at once. This is the most debt,
/// in bursts, so that a node that reports nonsense cannot lock a key out for long.
const DEBT: u64 = 16;

/// The longest time between two reports of another node, without an outage.
const LATE: u64 = 1_000_000_000;

impl Pace {
    /// A budget of `burst` units that grows by `units` in `nanoseconds`.
    pub(super) fn new(units: u32, nanoseconds: u64, burst: u32) -> Self {
        let interval = (nanoseconds / u64::from(units.max(1))).max(1);
        Self { interval, capacity: interval.saturating_mul(burst.into()) }
    }

    /// Takes `cost` units: returns the new arrival time, or the wait until the units are there.
    ///
    /// A cost above the burst is taken as the burst, because no wait would ever be long enough.
    pub(super) fn admit(self, arrival: u64, now: u64, cost: u32) -> Result<u64, u64> {
        let cost = self.interval.saturating_mul(cost.into()).min(self.capacity);
        let after = arrival.max(now).saturating_add(cost);
        match after.saturating_sub(now.saturating_add(self.capacity)) {
            0 => Ok(after),
            wait => Err(wait),
        }
    }

    /// Takes units that another node has admitted, even if the budget has fewer. A node reports ten times a second, so
    /// more units than the burst and what grows in [`LATE`] come from an outage or are nonsense, and count as that many.
    pub(super) fn spend(self, arrival: u64, now: u64, units: u32) -> u64 {
        let spent = self.interval.saturating_mul(units.into()).min(self.capacity.saturating_add(LATE));
        let most = now.saturating_add(self.capacity.saturating_mul(DEBT));
        arrival.max(now).saturating_add(spent).min(most.max(arrival))
    }

    /// Puts units back.
    pub(super) fn give_back(self, arrival: u64, units: u32) -> u64 {
        arrival.saturating_sub(self.interval.saturating_mul(units.into()))
    }

    /// How much of the budget is left at `now`.
    pub(super) fn left(self, arrival: u64, now: u64) -> Left {
        let used = arrival.saturating_sub(now);
        let units = self.capacity.saturating_sub(used) / self.interval;
        let next = match used {
            0 => 0,
            // One more unit is there as soon as no more than this is used.
            _ => used.saturating_sub(self.capacity.saturating_sub((units + 1).saturating_mul(self.interval))),
        };
        Left { units: u32::try_from(units).unwrap_or(u32::MAX), next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_at_once_and_then_one_unit_an_interval() {
        let pace = Pace::new(300, 60 * SECOND, 30);
        let (mut arrival, now) = (0, 7 * SECOND);
        for left in (0..30).rev() {
            arrival = pace.admit(arrival, now, 1).expect("within the burst");
            assert_eq!(pace.left(arrival, now), Left { units: left, next: SECOND / 5 });
        }
        assert_eq!(pace.admit(arrival, now, 1), Err(SECOND / 5));
        let later = now + SECOND / 5;
        assert_eq!(pace.left(arrival, later).units, 1);
        arrival = pace.admit(arrival, later, 1).expect("one more");
        assert_eq!(pace.admit(arrival, later, 1), Err(SECOND / 5));
        assert_eq!(pace.left(arrival, now + 60 * SECOND), Left { units: 30, next: 0 });
    }

    #[test]
    fn what_was_given_back_can_be_taken_again() {
        let pace = Pace::new(1, SECOND, 2);
        let empty = pace.admit(0, SECOND, 2).expect("the burst");
        assert!(pace.admit(empty, SECOND, 1).is_err());
        assert_eq!(pace.admit(pace.give_back(empty, 1), SECOND, 1), Ok(empty));
    }

    #[test]
    fn what_others_spend_is_owed_within_a_bound() {
        let pace = Pace::new(10, SECOND, 10);
        let twice = pace.spend(pace.spend(0, 0, 10), 0, 10);
        assert_eq!(
            pace.admit(twice, 0, 1),
            Err(SECOND + SECOND / 10),
            "another node admitted a second burst"
        );
        let nonsense = (0..1_000).fold(0, |arrival, _| pace.spend(arrival, 0, u32::MAX));
        assert_eq!(nonsense, DEBT * SECOND);
    }

    #[test]
    fn a_report_of_more_than_a_small_burst_counts_whole() {
        // 50 units a second, of which 5 are admitted between two reports, and 2 at once.
        let pace = Pace::new(3_000, 60 * SECOND, 2);
        assert_eq!(pace.spend(0, 0, 5), SECOND / 10);
        assert_eq!(pace.spend(0, 0, 1_000), 32 * SECOND / 50, "within the most debt");
        let slow = Pace::new(300, 60 * SECOND, 30);
        assert_eq!(
            slow.spend(0, 0, 3_000),
            7 * SECOND,
            "an outage of ten minutes counts as a burst and a second"
        );
    }

    /// Something that happens to a budget.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Asks(u32),
        OthersSpend(u32),
        Passes(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..4_u32).prop_map(Step::Asks),
            (1..4_u32).prop_map(Step::OthersSpend),
            (0..3 * SECOND).prop_map(Step::Passes),
        ]
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_times_the_time(
            units in 1..500_u32,
            seconds in 1..100_u64,
            burst in 1..50_u32,
            begin in 0..u64::MAX / 4,
            steps in proptest::collection::vec(step(), 0..300),
        ) {
            let pace = Pace::new(units, seconds * SECOND, burst);
            let (mut arrival, mut now, mut spent) = (0, begin, 0_u64);
            for step in steps {
                match step {
                    Step::Passes(time) => now += time,
                    Step::Asks(cost) => {
                        let left = pace.left(arrival, now);
                        match pace.admit(arrival, now, cost) {
                            Ok(after) => {
                                prop_assert!(cost.min(burst) <= left.units);
                                arrival = after;
                                spent += u64::from(cost.min(burst));
                                let most = u128::from(burst)
                                    + u128::from(now - begin) * u128::from(units) / u128::from(seconds * SECOND);
                                // An interval is rounded down to whole nanoseconds.
                                prop_assert!(u128::from(spent) <= most + 1 + u128::from(spent) / 1_000_000);
                            }
                            Err(wait) => {
                                prop_assert!(cost.min(burst) > left.units && wait > 0);
                                prop_assert!(pace.admit(arrival, now + wait, cost).is_ok());
                                prop_assert!(pace.admit(arrival, now + wait - 1, cost).is_err());
                            }
                        }
                    }
                    Step::OthersSpend(count) => {
                        let before = pace.left(arrival, now).units;
                        arrival = pace.spend(arrival, now, count);
                        spent += u64::from(count);
                        prop_assert_eq!(pace.left(arrival, now).units, before.saturating_sub(count));
                        // Other nodes may have admitted more than there was: the debt is paid before anything
                        // else.
                        spent = spent.min(u64::from(burst) + (now - begin) / pace.interval);
                    }
                }
                let left = pace.left(arrival, now);
                prop_assert!(left.units <= burst);
                if left.next > 0 {
                    prop_assert!(pace.left(arrival, now + left.next).units > left.units);
                }
            }
        }
    }
}
