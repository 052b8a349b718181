//! The limits on trying passwords and creating accounts.
//!
//! A group of addresses has a budget of attempts, and a name has waits that grow with each wrong password.
//! The database counts both, so all nodes agree and a restart forgets nothing.

use std::net::IpAddr;

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{Budget, By, FailureKeys, Stamp, budgets, failures},
    credentials::{Password, PasswordCheck, PasswordHash, Turn, Username},
    domain::UserId,
    limits::{BudgetKey, Exceeded, Policy},
};

/// The right password of an account.
pub(super) struct Checked {
    /// The account.
    pub(super) user: UserId,
    /// The hash that was checked.
    pub(super) hash: PasswordHash,
    /// Whether the cost of the hash differs from the current one.
    pub(super) is_stale: bool,
}

impl Access {
    /// Does work that holds a hashing turn and takes from the budget of a group of addresses. The unit is
    /// given back for an outcome that does not count.
    ///
    /// The budget in memory is checked first, so that a flood costs neither a turn nor a query. The turn is
    /// taken second, before any query, so that a flood holds no more database connections than there are
    /// turns. The budget in the database is checked third and decides: it includes the attempts that other
    /// nodes have admitted, and those admitted before a restart.
    pub(super) async fn metered<T>(
        &self,
        policy: Policy,
        from: IpAddr,
        counts: impl Fn(&Result<T, AccessError>) -> bool,
        work: impl AsyncFnOnce(&Turn) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let group = BudgetKey::address_group(from);
        self.limits.admit(policy, group)?;
        let outcome = self.budgeted(policy, group, &counts, work).await;
        if !counts(&outcome) {
            self.limits.give_back(policy, group, 1);
        }
        // The refusal is recorded after the unit is given back. In the other order, the response would
        // describe the refilled budget, and not the refusal.
        match outcome {
            Err(AccessError::RateLimited(exceeded)) => Err(self.limits.refuse(policy, exceeded.wait).into()),
            outcome => outcome,
        }
    }

    async fn budgeted<T>(
        &self,
        policy: Policy,
        group: BudgetKey,
        counts: impl Fn(&Result<T, AccessError>) -> bool,
        work: impl AsyncFnOnce(&Turn) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let key = self.limits.number_of(policy, group);
        // Logins and registrations of a group take their turns as one holder, because a hash costs the same
        // for both.
        let turn = self.hasher.turn(self.limits.number_of(Policy::Login, group)).await?;
        let Some(rate) = self.limits.rates().of(policy) else { return work(&turn).await };
        let budget = Budget { key, interval: rate.interval(), burst: rate.burst };
        budgets::take(&self.pool, &budget).await?.map_err(|wait| Exceeded { policy, wait })?;
        let outcome = work(&turn).await;
        if !counts(&outcome)
            && let Err(error) = budgets::give_back(&self.pool, &budget).await
        {
            // The budget refills by itself, so the loss only delays the clients of the group a little.
            tracing::debug!(%error, "could not refund the budget of an attempt");
        }
        outcome
    }

    /// Checks a password for a name as typed, with or without an account. After wrong passwords the attempt
    /// is refused until the wait is over.
    ///
    /// The failures are read within the turn, and a new failure is counted before the turn ends. So the
    /// number of turns bounds the wrong passwords that are checked between reading and counting, however many
    /// requests come at once.
    pub(super) async fn check(
        &self,
        turn: &Turn,
        typed: &str,
        password: &Password,
        from: IpAddr,
    ) -> Result<Checked, AccessError> {
        let username = Username::parse(typed).ok();
        let name = username.as_ref().map_or(typed, Username::as_str);
        let keys = self.failure_keys(name, from);
        let prior = failures::prior(&self.pool, username.as_ref(), &keys).await?;
        if !prior.wait.is_zero() {
            return Err(Exceeded { policy: Policy::Login, wait: prior.wait }.into());
        }
        // A name without an account costs a hash too, so that the timing does not reveal whether there is an
        // account.
        let verdict = turn.verify(password, prior.account.as_ref().map(|(_, hash)| hash)).await?;
        match (prior.account, verdict) {
            (Some((user, hash)), PasswordCheck::Right | PasswordCheck::RightButStale) => {
                if prior.has_failed_here {
                    failures::succeeded(&self.pool, &keys).await?;
                }
                Ok(Checked { user, hash, is_stale: verdict == PasswordCheck::RightButStale })
            }
            (account, _) => {
                let (account, stamp) =
                    (account.map(|(user, _)| user), Stamp::now(&self.clock, By::default()));
                failures::failed(&self.pool, &keys, account, stamp).await?;
                Err(AccessError::BadCredentials)
            }
        }
    }

    /// The counters of wrong passwords for a name at an address.
    pub(super) fn failure_keys(&self, name: &str, from: IpAddr) -> FailureKeys {
        FailureKeys {
            name: self.limits.number_of(Policy::Login, BudgetKey::name(name)),
            name_here: self.limits.number_of(Policy::Login, BudgetKey::name_from(name, from)),
            place: self.place(from),
        }
    }

    /// The group of addresses, as logins remember it.
    pub(super) fn place(&self, from: IpAddr) -> u64 {
        self.limits.number_of(Policy::Login, BudgetKey::address_group(from))
    }
}
