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
    /// Ends all logins of any user within a second, however the account was made. The user keeps the place in conversations,
    /// and cannot log in until the account is reactivated. Needs the scope `users:write`. The accounts of programs are not
    /// deactivated: 404. Revoke their keys instead.
    #[oai(path = "/admin/users/:id/deactivate", method = "post", operation_id = "deactivate_account")]
    async fn deactivate(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        self.access.deactivate(caller.by(), WhichAccount::Id(id.0)).await?;
        Ok(Done)
    }

    /// Reactivate an account
    ///
    /// Lets the user of a deactivated account log in again. The logins that ended stay ended. Needs the scope `users:write`.
    #[oai(path = "/admin/users/:id/reactivate", method = "post", operation_id = "reactivate_account")]
    async fn reactivate(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        self.access.reactivate(caller.by(), WhichAccount::Id(id.0)).await?;
        Ok(Done)
    }
}
