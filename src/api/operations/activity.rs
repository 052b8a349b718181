//! Deactivating the account of any user, and reactivating it.

use std::sync::Arc;

use poem_openapi::{OpenApi, param::Path};

use crate::{
    access::{Access, WhichAccount},
    api::{Caller, Done, Ruled, operations::tag::Tag},
    domain::UserId,
};

pub(in crate::api) struct Activity {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Activity {
    /// Deactivate an account
    ///
    /// Deactivates the account of any user, however it was created, and ends all its logins within a second. The user
    /// stays a member of conversations, and cannot log in until the account is reactivated. The accounts of programs
    /// cannot be deactivated (404): revoke their keys instead. An erased account is unknown (404). Needs the scope
    /// `users:write`.
    #[oai(path = "/admin/users/:id/deactivate", method = "post", operation_id = "deactivate_account")]
    async fn deactivate(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        self.access.deactivate(caller.by(), WhichAccount::Id(id.0)).await?;
        Ok(Done)
    }

    /// Reactivate an account
    ///
    /// Reactivates a deactivated account, so that its user can log in again. The logins that ended stay ended. Needs
    /// the scope `users:write`.
    #[oai(path = "/admin/users/:id/reactivate", method = "post", operation_id = "reactivate_account")]
    async fn reactivate(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        self.access.reactivate(caller.by(), WhichAccount::Id(id.0)).await?;
        Ok(Done)
    }
}
