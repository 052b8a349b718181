//! Deactivating accounts, and reactivating them.

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{self, By, Stamp, WhichAccount},
    domain::UserId,
};

impl Access {
    /// Deactivates an account, and ends its logins on all nodes. An erased account is deactivated for good, and counts
    /// as unknown.
    pub async fn deactivate(&self, by: By, which: WhichAccount<'_>) -> Result<(), AccessError> {
        let ended = accounts::deactivate(&self.pool, which, Stamp::now(&self.clock, by)).await?;
        let (user, logins) = ended.ok_or(AccessError::NotFound)?;
        self.revoking.suspend(user, &logins).await;
        match accounts::ends_of(&self.pool, user).await?.erased_at {
            None => Ok(()),
            Some(_) => Err(AccessError::NotFound),
        }
    }

    /// Reactivates a deactivated account. Its owner must log in again.
    pub async fn reactivate(&self, by: By, which: WhichAccount<'_>) -> Result<UserId, AccessError> {
        let user = accounts::reactivate(&self.pool, which, Stamp::now(&self.clock, by)).await?;
        let user = user.ok_or(AccessError::NotFound)?;
        self.revoking.restore(user).await;
        Ok(user)
    }
}
