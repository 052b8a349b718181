//! Decides whether a request may proceed.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    gcra::Pace,
    key::{BudgetKey, Secret},
    map::{Change, Map},
    noted::{self, AppliedPolicy},
    own::OwnRates,
    policy::{Policy, Rates},
    rate::{PolicyLimit, Rate},
};
use crate::{domain::UserId, telemetry::METRICS};

/// The refusal of a request, because a budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached for {} ms", .policy.word(), .wait.as_millis())]
pub struct Exceeded {
    /// The policy that refuses the request.
    pub policy: Policy,
    /// The time until the same request would pass, if no other comes before it.
    pub wait: Duration,
}

/// The budgets of this process.
pub struct RateLimits {
    rates: Rates,
    paces: [Option<Pace>; Policy::ROWS],
    own: OwnRates,
    secret: Secret,
    pub(super) map: Map,
    born: Instant,
}

impl RateLimits {
    /// Full budgets for all keys. Nodes with the same secret know one another's keys.
    pub fn new(rates: Rates, shared: &[u8; 32]) -> Self {
        let mut paces = [None; Policy::ROWS];
        for policy in Policy::ALL {
            paces[usize::from(policy.number())] = rates.of(policy).map(Rate::pace);
        }
        let secret = Secret::derived(shared);
        Self { rates, paces, own: OwnRates::default(), secret, map: Map::new(), born: Instant::now() }
    }

    /// The limits in force.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Takes one unit of a budget.
    pub fn admit(&self, policy: Policy, key: impl Into<BudgetKey>) -> Result<(), Exceeded> {
        self.admit_many(policy, key, 1)
    }

    /// Takes units of a budget: all of them, or none. Above the burst, a cost counts as the burst.
    pub fn admit_many(&self, policy: Policy, key: impl Into<BudgetKey>, units: u32) -> Result<(), Exceeded> {
        let Some((hash, rate, pace)) = self.budget(policy, key) else { return Ok(()) };
        let now = self.now();
        let (answer, arrival) = self.map.change(hash, policy.number(), now, |arrival| {
            let (arrival, spent, answer) = match pace.admit(arrival, now, units) {
                Ok(after) => (after, units.min(rate.burst), Ok(())),
                Err(wait) => (arrival, 0, Err(wait)),
            };
            let spent = i32::try_from(spent).unwrap_or(i32::MAX);
            Change { arrival, spent, answer: (answer, arrival) }
        });
        note(policy, rate, pace, arrival, now);
        answer.map_err(|wait| exceeded(policy, wait))
    }

    /// Refuses a request in the name of the policy, for a reason that is counted elsewhere.
    pub fn refuse(&self, policy: Policy, wait: Duration) -> Exceeded {
        if let Some(rate) = self.rates.of(policy) {
            noted::note(AppliedPolicy { policy, rate, remaining: 0, next: wait });
        }
        METRICS.rate_limited.get_or_create(&[("policy", policy.word())]).inc();
        Exceeded { policy, wait }
    }

    /// The number of a budget for counters that all nodes share. It is the same on all nodes.
    pub fn number_of(&self, policy: Policy, key: impl Into<BudgetKey>) -> u64 {
        self.secret.hash(policy, key.into())
    }

    /// Puts units back that were taken for an action that did not happen. Above the burst, they count as the burst, as
    /// when they were taken.
    pub fn give_back(&self, policy: Policy, key: impl Into<BudgetKey>, units: u32) {
        let Some((hash, rate, pace)) = self.budget(policy, key) else { return };
        let (now, units) = (self.now(), units.min(rate.burst));
        let arrival = self.map.change(hash, policy.number(), now, |arrival| {
            let arrival = pace.give_back(arrival, units);
            let spent = i32::try_from(units).map_or(i32::MIN, |units| -units);
            Change { arrival, spent, answer: arrival }
        });
        note(policy, rate, pace, arrival, now);
    }

    /// Puts units back like [`give_back`](Self::give_back), and leaves the policy out of the headers of the answer.
    pub fn give_back_unseen(&self, policy: Policy, key: impl Into<BudgetKey>, units: u32) {
        self.give_back(policy, key, units);
        noted::forget(policy);
    }

    /// Gives back the unit of [`Policy::User`] that a request has cost, because another policy has admitted
    /// the request.
    pub fn instead_of_user(&self, user: UserId) {
        self.give_back_unseen(Policy::User, user, 1);
    }

    /// Takes a unit of `policy`, in place of the unit of [`Policy::User`] that the request has cost.
    pub fn admit_instead_of_user(&self, policy: Policy, user: UserId) -> Result<(), Exceeded> {
        self.admit(policy, user)?;
        self.instead_of_user(user);
        Ok(())
    }

    /// A budget for one owner, which no other part of this process and no other node shares.
    pub fn meter(&self, policy: Policy) -> Meter {
        let pace = self.in_force(policy).map(|(_, pace)| pace);
        Meter { policy, pace, born: Instant::now(), arrival: 0 }
    }

    /// The rest of a budget, without taking from it; `None` if the policy is off.
    pub fn peek(&self, policy: Policy, key: impl Into<BudgetKey>) -> Option<AppliedPolicy> {
        let (hash, rate, pace) = self.budget(policy, key)?;
        Some(applied(policy, rate, pace, self.map.arrival(hash), self.now()))
    }

    /// Takes units that another node has admitted. Returns whether `number` belongs to a policy.
    pub(super) fn spend(&self, number: u8, hash: u64, units: u32) -> bool {
        let Some(policy) = Policy::numbered(number) else { return false };
        if let Some((_, pace)) = self.own.of(hash).unwrap_or_else(|| self.in_force(policy)) {
            let now = self.now();
            self.map.change(hash, number, now, |arrival| Change {
                arrival: pace.spend(arrival, now, units),
                spent: 0,
                answer: (),
            });
        }
        true
    }

    /// Gives one budget a limit of its own. Another node learns this limit when the key is first used there; until then
    /// it applies the common limit to the units that other nodes report.
    pub fn set_own(&self, policy: Policy, key: impl Into<BudgetKey>, limit: PolicyLimit) {
        self.own.set(self.secret.hash(policy, key.into()), limit.of(policy.default_rate()));
    }

    /// Whether a budget has a limit of its own.
    pub fn has_own(&self, policy: Policy, key: impl Into<BudgetKey>) -> bool {
        self.own.has_any() && self.own.of(self.secret.hash(policy, key.into())).is_some()
    }

    /// The name of a budget in the map, and its rate; `None` if nothing limits it.
    fn budget(&self, policy: Policy, key: impl Into<BudgetKey>) -> Option<(u64, Rate, Pace)> {
        let everybodys = self.in_force(policy);
        if everybodys.is_none() && !self.own.has_any() {
            return None;
        }
        let hash = self.secret.hash(policy, key.into());
        let (rate, pace) = self.own.of(hash).unwrap_or(everybodys)?;
        Some((hash, rate, pace))
    }

    fn in_force(&self, policy: Policy) -> Option<(Rate, Pace)> {
        self.rates.of(policy).zip(self.paces[usize::from(policy.number())])
    }

    fn now(&self) -> u64 {
        nanoseconds(self.born.elapsed())
    }
}

/// A budget for one owner, outside the map.
#[derive(Debug)]
pub struct Meter {
    policy: Policy,
    pace: Option<Pace>,
    born: Instant,
    arrival: u64,
}

impl Meter {
    /// Takes one unit.
    pub fn admit(&mut self) -> Result<(), Exceeded> {
        let Some(pace) = self.pace else { return Ok(()) };
        match pace.admit(self.arrival, nanoseconds(self.born.elapsed()), 1) {
            Ok(arrival) => {
                self.arrival = arrival;
                Ok(())
            }
            Err(wait) => Err(exceeded(self.policy, wait)),
        }
    }
}

/// Counts the refusal and returns it.
fn exceeded(policy: Policy, wait: u64) -> Exceeded {
    METRICS.rate_limited.get_or_create(&[("policy", policy.word())]).inc();
    Exceeded { policy, wait: Duration::from_nanos(wait) }
}

/// The time stops after 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn note(policy: Policy, rate: Rate, pace: Pace, arrival: u64, now: u64) {
    noted::note(applied(policy, rate, pace, arrival, now));
}

fn applied(policy: Policy, rate: Rate, pace: Pace, arrival: u64, now: u64) -> AppliedPolicy {
    let left = pace.left(arrival, now);
    AppliedPolicy { policy, rate, remaining: left.units, next: Duration::from_nanos(left.next) }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::limits::PolicyLimit;

    fn user(n: u32) -> UserId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    fn limits(limit: &str) -> RateLimits {
        RateLimits::new(Rates::default().with(Policy::User, limit.parse().expect("a limit")), &[1; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn each_user_has_a_budget_that_fills_again() {
        let limits = limits("60/60:3");
        for left in [2, 1, 0] {
            assert_eq!(limits.admit(Policy::User, user(1)), Ok(()));
            assert_eq!(limits.peek(Policy::User, user(1)).map(|applied| applied.remaining), Some(left));
        }
        let refused = limits.admit(Policy::User, user(1)).expect_err("used up");
        assert_eq!(refused, Exceeded { policy: Policy::User, wait: Duration::from_secs(1) });
        assert_eq!(limits.admit(Policy::User, user(2)), Ok(()), "others are not concerned");
        advance(Duration::from_millis(999)).await;
        assert!(limits.admit(Policy::User, user(1)).is_err(), "a refusal costs nothing, and time is needed");
        advance(Duration::from_millis(1)).await;
        assert_eq!(limits.admit(Policy::User, user(1)), Ok(()));
        limits.give_back(Policy::User, user(1), 1);
        assert_eq!(limits.admit(Policy::User, user(1)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn many_units_are_taken_all_or_not_at_all() {
        let limits = limits("60/60:10");
        assert_eq!(limits.admit_many(Policy::User, user(1), 8), Ok(()));
        assert!(limits.admit_many(Policy::User, user(1), 3).is_err());
        assert_eq!(limits.admit_many(Policy::User, user(1), 2), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_can_have_a_limit_of_its_own() {
        let limits = limits("60/60:3");
        limits.set_own(Policy::User, user(1), "60/60:1".parse().expect("a limit"));
        limits.set_own(Policy::User, user(2), PolicyLimit::Off);
        assert_eq!(limits.admit(Policy::User, user(1)), Ok(()));
        assert!(limits.admit(Policy::User, user(1)).is_err());
        assert!((0..100).all(|_| limits.admit(Policy::User, user(2)).is_ok()));
        assert!((0..3).all(|_| limits.admit(Policy::User, user(3)).is_ok()));
        assert!(limits.admit(Policy::User, user(3)).is_err(), "others have everybody's");
        assert!(limits.has_own(Policy::User, user(1)) && !limits.has_own(Policy::User, user(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_off_limits_nobody() {
        let limits = RateLimits::new(Rates::default().with(Policy::User, PolicyLimit::Off), &[1; 32]);
        assert!((0..10_000).all(|_| limits.admit(Policy::User, user(1)).is_ok()));
        assert_eq!(limits.peek(Policy::User, user(1)), None);
    }
}
