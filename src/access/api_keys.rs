//! Authentication by API key.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{bearer::Bearers, not_authenticated::NotAuthenticated};
use crate::{
    accounts::key_use::{self, StoredKey},
    credentials::{Identity, KeyId, NatsName, PresentedKey, Proof},
    limits::{BudgetKey, OwnLimits, Policy},
};

/// The maximum time that a socket or stream can stay open with a key. If the key ends earlier, the deny set closes them
/// earlier.
const BOUND: Duration = Duration::from_secs(366 * 86_400);
/// The minimum time between two records of the use of a key.
const NOTE: Duration = Duration::from_secs(60);
/// The timeout of such a record. A request waits no longer for it, and continues without it.
const NOTED: Duration = Duration::from_millis(250);
/// The minimum time between two database lookups of a refused NATS name.
const AGAIN: Duration = Duration::from_secs(1);

impl Bearers {
    pub(super) async fn by_key(
        &self,
        bearer: &str,
        from: Option<IpAddr>,
    ) -> Result<Identity, NotAuthenticated> {
        let presented = PresentedKey::parse(bearer).ok_or(NotAuthenticated::InvalidKey)?;
        let is_right = |key: &StoredKey| presented.has(&key.hash);
        let key = self.stored(presented.id, is_right, from).await?.ok_or(NotAuthenticated::InvalidKey)?;
        self.judge(&key, from)
    }

    pub(super) async fn by_name(&self, name: &NatsName) -> Result<Identity, NotAuthenticated> {
        let id = KeyId::of_name(name);
        match self.named(id).await {
            // The name may have been bound, or bound again, since the last lookup.
            Err(refused) if !refused.is_unjudged() && self.keys.forget_older(id, AGAIN) => {
                self.named(id).await
            }
            judged => judged,
        }
    }

    async fn named(&self, id: KeyId) -> Result<Identity, NotAuthenticated> {
        let key = self.stored(id, |_| true, None).await?.ok_or(NotAuthenticated::UnboundName)?;
        self.judge(&key, None)
    }

    /// The key with this id, if `is_right` accepts it.
    async fn stored(
        &self,
        id: KeyId,
        is_right: impl Fn(&StoredKey) -> bool,
        from: Option<IpAddr>,
    ) -> Result<Option<Arc<StoredKey>>, NotAuthenticated> {
        let key = match self.keys.known(id) {
            Some(known) if known.is_fresh() && !self.has_news(known.key.as_deref()) => known.key,
            known => {
                let was_right = known.is_some_and(|known| known.key.is_some_and(|key| is_right(&key)));
                self.look_up(id, &is_right, from, was_right).await?
            }
        };
        Ok(key.filter(|key| is_right(key)))
    }

    /// Whether the deny set has a key that is still active according to this cached copy.
    fn has_news(&self, key: Option<&StoredKey>) -> bool {
        key.is_some_and(|key| !key.is_revoked && !self.is_over(key) && self.revoked.contains(key.id))
    }

    fn is_over(&self, key: &StoredKey) -> bool {
        key.expires_at.is_some_and(|end| end <= self.clock.now())
    }

    fn judge(&self, key: &StoredKey, from: Option<IpAddr>) -> Result<Identity, NotAuthenticated> {
        if key.is_revoked {
            return Err(NotAuthenticated::InvalidKey);
        }
        if self.is_over(key) {
            return Err(NotAuthenticated::KeyExpired);
        }
        if key.is_suspended {
            return Err(NotAuthenticated::Suspended);
        }
        if !key.networks.let_in(from) {
            return Err(NotAuthenticated::ForeignAddress);
        }
        Ok(Identity {
            user: key.account,
            login: key.id,
            proof: Proof::Key,
            expires_at: self.clock.now().plus(BOUND),
            via: None,
            scopes: key.scopes,
        })
    }

    /// Reads a key from the database. A guess takes one unit from the budget of its address while the lookup is in
    /// flight, so that an address has no more concurrent lookups than its budget. If the guess was wrong, the edge
    /// takes the unit for good. A key that was right before costs nothing, so that programs behind one address do not
    /// spend each other's budget.
    async fn look_up(
        &self,
        id: KeyId,
        is_right: impl Fn(&StoredKey) -> bool,
        from: Option<IpAddr>,
        was_right: bool,
    ) -> Result<Option<Arc<StoredKey>>, NotAuthenticated> {
        let budget = from.filter(|_| !was_right).map(BudgetKey::address);
        let _turn = self.keys.turn(id).await;
        if let Some(known) = self.keys.known(id)
            && known.is_fresh()
            && !self.has_news(known.key.as_deref())
        {
            return Ok(known.key);
        }
        if let Some(budget) = budget {
            self.limits.admit(Policy::Address, budget)?;
        }
        let asked = self.keys.ask(id).await;
        if let Some(budget) = budget {
            self.limits.give_back_unseen(Policy::Address, budget, 1);
        }
        let known = asked?;
        // A database that does not answer cannot record the use either.
        if let Some(key) = known.key.as_ref().filter(|key| is_right(key) && !known.is_believed_once_more()) {
            self.set_limits(key);
            self.note_use(key, id, from).await;
        }
        Ok(known.key)
    }

    /// Gives the budgets of a key and its account the limits that an operator has set. Limits that this version cannot
    /// read are replaced by the defaults.
    fn set_limits(&self, key: &StoredKey) {
        let texts = key.limits.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let own = OwnLimits::parse(texts).unwrap_or_else(|error| {
            tracing::warn!(%error, account = %key.account, "could not read the limits of a service account");
            OwnLimits::default()
        });
        for (policy, limit) in own.iter() {
            match policy {
                Policy::Service => self.limits.set_own(policy, key.id, limit),
                _ => self.limits.set_own(policy, key.account, limit),
            }
        }
    }

    /// Records the use of a key. While a key is in use, it is looked up once a minute, so one record for each lookup is
    /// enough.
    async fn note_use(&self, key: &StoredKey, id: KeyId, from: Option<IpAddr>) {
        let note = key_use::note(&self.pool, key.id, from, self.clock.now(), NOTE);
        match timeout(NOTED, note).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, key = %id, "could not record the use of a key"),
            Err(_) => tracing::debug!(key = %id, "could not record the use of a key in time"),
        }
    }
}
