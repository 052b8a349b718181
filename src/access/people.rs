//! Finding other users.

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{self, Account},
    credentials::Username,
    domain::UserId,
};

impl Access {
    /// The account of a user.
    pub async fn user(&self, id: UserId) -> Result<Account, AccessError> {
        accounts::find(&self.pool, id).await?.ok_or(AccessError::NotFound)
    }

    /// The accounts of these users, in the order of the ids, without duplicates. Ids without an account are
    /// left out.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<Account>, AccessError> {
        let mut found = accounts::find_many(&self.pool, ids).await?;
        found.sort_by_key(|account| ids.iter().position(|id| *id == account.id));
        Ok(found)
    }

    /// The account with exactly this user name.
    pub async fn user_by_name(&self, username: &Username) -> Result<Option<Account>, AccessError> {
        Ok(accounts::by_username(&self.pool, username).await?)
    }
}
