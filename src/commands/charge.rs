//! The cost of a command. The cost is taken once the caller is known to be a member, so that a stranger never
//! uses up the budget of a conversation. Before that, the request itself has cost its user a unit. A command
//! with a policy of its own gives that unit back when the command has happened. A command that does not happen, because
//! it is refused, changes nothing, is a retry or fails, gives its own cost back instead, and so costs the user's budget
//! only.

use std::mem;

use crate::{
    commands::{acting::is_paid_by_key, bringing_in::others, needs::Commands},
    domain::{ConversationId, Event, UserId},
    limits::{BudgetKey, Exceeded, Policy, RateLimits},
};

/// What a command has cost so far. Unless the command happens, all of it is given back.
pub(super) struct Cost<'a> {
    limits: &'a RateLimits,
    taken: [Option<(Policy, BudgetKey, u32)>; 2],
    /// The user whose unit the command replaces when it happens.
    instead_of: Option<UserId>,
}

impl<'a> Cost<'a> {
    fn none(limits: &'a RateLimits) -> Self {
        Self { limits, taken: [None; 2], instead_of: None }
    }

    /// Takes units of one more budget, or gives back what was taken from the others.
    fn and(mut self, policy: Policy, key: impl Into<BudgetKey>, units: u32) -> Result<Self, Exceeded> {
        let key = key.into();
        self.limits.admit_many(policy, key, units)?;
        let free = self.taken.iter_mut().find(|place| place.is_none());
        *free.expect("a command has two budgets at most") = Some((policy, key, units));
        Ok(self)
    }

    fn instead_of(self, by: UserId) -> Self {
        Self { instead_of: (!is_paid_by_key()).then_some(by), ..self }
    }

    /// Appends what the cost is for. If the answer shows that it `happened`, the cost is spent. A caller who hangs up
    /// before there is an answer has spent it too: otherwise hanging up at the right moment would make writing free.
    pub(super) async fn of<T, E>(
        &mut self,
        appending: impl Future<Output = Result<T, E>>,
        happened: impl FnOnce(&T) -> bool,
    ) -> Result<T, E> {
        let taken = mem::take(&mut self.taken);
        let appended = appending.await;
        match appended.as_ref().is_ok_and(happened) {
            true => {
                if let Some(user) = self.instead_of {
                    self.limits.instead_of_user(user);
                }
            }
            false => self.taken = taken,
        }
        appended
    }
}

impl Drop for Cost<'_> {
    fn drop(&mut self) {
        for (policy, key, units) in self.taken.iter().flatten() {
            self.limits.give_back(*policy, *key, *units);
        }
    }
}

impl Commands {
    /// Takes the cost of a change to the timeline from all its budgets, or from none.
    pub(super) fn charge_change(&self, by: UserId, id: ConversationId) -> Result<Cost<'_>, Exceeded> {
        let none = Cost::none(&self.limits).instead_of(by);
        let of_sender = if self.pays_send(by) { none.and(Policy::Send, by, 1)? } else { none };
        of_sender.and(Policy::Conversation, id, 1)
    }

    /// A key pays by its own budget alone, unless its account was given a limit of sends.
    fn pays_send(&self, by: UserId) -> bool {
        !is_paid_by_key() || self.limits.has_own(Policy::Send, by)
    }

    /// Takes the cost of bringing others in.
    pub(super) fn charge_members(&self, by: UserId, event: &Event) -> Result<Cost<'_>, Exceeded> {
        with_members(Cost::none(&self.limits), by, event)
    }

    /// Takes the cost of starting a conversation from all its budgets, or from none.
    pub(super) fn charge_start(&self, by: UserId, event: &Event) -> Result<Cost<'_>, Exceeded> {
        let start = Cost::none(&self.limits).instead_of(by).and(Policy::Start, by, 1)?;
        with_members(start, by, event)
    }
}

fn with_members<'a>(cost: Cost<'a>, by: UserId, event: &Event) -> Result<Cost<'a>, Exceeded> {
    match u32::try_from(others(by, event).len()).unwrap_or(u32::MAX) {
        0 => Ok(cost),
        many => cost.and(Policy::Members, by, many),
    }
}
