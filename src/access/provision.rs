//! Provisioning: the accounts of a host application's users follow the user table of that application.

use super::{error::AccessError, needs::Access, revoking::tell};
use crate::{
    accounts::{self, By, HostUser, ProvisionError, ProvisionedUser, Stamp},
    commands::Written,
    credentials::{Busy, Username},
    domain::{ExternalId, UserId},
};

/// How many rounds are tried to create or change a user. From the second round on, a derived user name has random
/// letters.
const ROUNDS: usize = 5;

impl Access {
    /// Creates or changes a user to match the host application's description. A repeated request changes nothing, and
    /// of several concurrent requests only one creates the account.
    pub async fn provision(
        &self,
        by: UserId,
        wanted: &HostUser,
    ) -> Result<(ProvisionedUser, Written), AccessError> {
        let _place = self.provisioning.take(by).await?;
        let known = accounts::provisioned_one(&self.pool, &wanted.external_id).await?;
        self.provision_known(by, wanted, known).await
    }

    /// Like [`Access::provision`], for many users, which are looked up together. Returns one result for each, in order.
    pub async fn provision_many(
        &self,
        by: UserId,
        wanted: &[HostUser],
    ) -> Result<Vec<Result<(ProvisionedUser, Written), AccessError>>, AccessError> {
        let _place = self.provisioning.take(by).await?;
        let ids: Vec<ExternalId> = wanted.iter().map(|user| user.external_id.clone()).collect();
        let known = accounts::provisioned(&self.pool, &ids).await?;
        let mut results = Vec::with_capacity(wanted.len());
        for user in wanted {
            let known = known.iter().find(|known| known.external_id == user.external_id).cloned();
            match self.provision_known(by, user, known).await {
                Err(AccessError::Database(outage)) => return Err(outage.into()),
                result => results.push(result),
            }
        }
        Ok(results)
    }

    async fn provision_known(
        &self,
        by: UserId,
        wanted: &HostUser,
        mut known: Option<ProvisionedUser>,
    ) -> Result<(ProvisionedUser, Written), AccessError> {
        for round in 0..ROUNDS {
            let written = match &known {
                Some(known) if known.is_as(wanted) => return Ok((known.clone(), Written::Unchanged)),
                Some(_) => {
                    let changed = accounts::change_provisioned(&self.pool, wanted, self.stamp(by)).await?;
                    changed.map(|changed| if changed { Written::Updated } else { Written::Unchanged })
                }
                None => self.make(by, wanted, round).await?.then_some(Written::Created),
            };
            // Another request may have created the user meanwhile.
            known = accounts::provisioned_one(&self.pool, &wanted.external_id).await?;
            if let (Some(known), Some(written)) = (&known, written) {
                if written == Written::Updated {
                    tell("a changed account", self.commands.user_changed(known.account.id)).await;
                }
                return Ok((known.clone(), written));
            }
        }
        Err(Busy.into())
    }

    /// Creates an account. `false` if another request has created it, or if a derived user name is taken.
    async fn make(&self, by: UserId, wanted: &HostUser, round: usize) -> Result<bool, AccessError> {
        let id = self.clock.id(UserId::known);
        let username = match &wanted.username {
            Some(chosen) => chosen.clone(),
            None if round == 0 => Username::near(&wanted.display_name),
            // The last bits of an id are random.
            None => Username::near(&wanted.display_name).with_suffix(id.uuid().as_u128() as u32),
        };
        match accounts::make_provisioned(&self.pool, id, wanted, &username, self.stamp(by)).await {
            Ok(()) => Ok(true),
            Err(ProvisionError::JustMade) => Ok(false),
            // The name may belong to this same user, if another request has just created the account.
            Err(ProvisionError::UsernameTaken)
                if wanted.username.is_some()
                    && accounts::provisioned_one(&self.pool, &wanted.external_id).await?.is_none() =>
            {
                Err(AccessError::UsernameTaken)
            }
            Err(ProvisionError::UsernameTaken) => Ok(false),
            Err(ProvisionError::Database(outage)) => Err(outage.into()),
        }
    }

    /// A user of the host application.
    pub async fn provisioned(&self, id: &ExternalId) -> Result<ProvisionedUser, AccessError> {
        accounts::provisioned_one(&self.pool, id).await?.ok_or(AccessError::NotFound)
    }

    fn stamp(&self, by: UserId) -> Stamp {
        Stamp::now(&self.clock, By::account(by))
    }
}
