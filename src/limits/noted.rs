//! Remembers the policies that applied to a request, for the headers of its answer.

use std::{cell::Cell, time::Duration};

use super::{policy::Policy, rate::Rate};

tokio::task_local! {
    static NOTED: Cell<Noted>;
}

/// A policy that applied to a request, and the budget that it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// The policy that applied.
    pub policy: Policy,
    /// The rate of the policy.
    pub rate: Rate,
    /// The units that are left after the request.
    pub remaining: u32,
    /// The time until there is one more unit; zero for a full budget.
    pub next: Duration,
}

/// The most policies that apply to one request.
const MOST: usize = 4;

/// The policies that have applied so far, in the order in which they were checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noted([Option<AppliedPolicy>; MOST]);

impl Noted {
    /// The policies in that order.
    pub fn iter(&self) -> impl Iterator<Item = &AppliedPolicy> {
        self.0.iter().flatten()
    }

    fn with(mut self, applied: AppliedPolicy) -> Self {
        let same =
            |place: &&mut Option<AppliedPolicy>| place.is_none_or(|noted| noted.policy == applied.policy);
        if let Some(place) = self.0.iter_mut().find(same) {
            *place = Some(applied);
        }
        self
    }

    fn without(mut self, policy: Policy) -> Self {
        let mut kept = self.0.into_iter().flatten().filter(|applied| applied.policy != policy);
        self.0 = std::array::from_fn(|_| kept.next());
        self
    }
}

/// Answers a request, and returns the policies that applied to it.
pub(crate) async fn within<F: Future>(answering: F) -> (F::Output, Noted) {
    NOTED
        .scope(Cell::default(), async {
            let answer = answering.await;
            (answer, NOTED.with(Cell::get))
        })
        .await
}

/// Notes a policy that applied. Outside of a request, as on a socket, this does nothing.
pub(super) fn note(applied: AppliedPolicy) {
    let _ = NOTED.try_with(|noted| noted.set(noted.get().with(applied)));
}

/// Whether a policy has applied to this request.
pub(crate) fn has(policy: Policy) -> bool {
    NOTED.try_with(|noted| noted.get().iter().any(|applied| applied.policy == policy)).unwrap_or(false)
}

/// Removes a policy that another one has replaced.
pub(super) fn forget(policy: Policy) {
    let _ = NOTED.try_with(|noted| noted.set(noted.get().without(policy)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_word_on_each_policy_is_kept_in_the_order_of_the_checks() {
        let applied = |policy: Policy, remaining| AppliedPolicy {
            policy,
            rate: policy.default_rate(),
            remaining,
            next: Duration::ZERO,
        };
        let (answer, noted) = within(async {
            note(applied(Policy::User, 9));
            note(applied(Policy::User, 8));
            assert!(has(Policy::User) && !has(Policy::Address));
            "done"
        })
        .await;
        assert_eq!(answer, "done");
        assert_eq!(noted.iter().map(|a| a.remaining).collect::<Vec<_>>(), [8]);
        let ((), noted) = within(async {
            note(applied(Policy::User, 8));
            forget(Policy::User);
        })
        .await;
        assert_eq!(noted.iter().count(), 0);
        note(applied(Policy::User, 7));
    }
}
