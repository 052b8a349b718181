//! Registering, and changing one's own account.

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{self, Account},
    credentials::{DisplayName, Password, Username},
    domain::UserId,
};

impl Access {
    /// Creates an account.
    pub async fn register(
        &self,
        username: &Username,
        name: &DisplayName,
        password: &Password,
    ) -> Result<Account, AccessError> {
        let hash = self.hasher.hash(password).await?;
        let id = self.clock.id(UserId::known);
        Ok(accounts::register(&self.pool, id, username, name, &hash, self.clock.now()).await?)
    }

    /// The account of the caller.
    pub async fn account(&self, me: UserId) -> Result<Account, AccessError> {
        accounts::find(&self.pool, me).await?.ok_or(AccessError::NoAccount)
    }

    /// Changes the display name of the caller.
    pub async fn rename(&self, me: UserId, name: &DisplayName) -> Result<Account, AccessError> {
        accounts::rename(&self.pool, me, name).await?.ok_or(AccessError::NoAccount)
    }
}
