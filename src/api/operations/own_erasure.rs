//! The erasure of the caller's own account.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::Access,
    api::{
        Body, Caller, Confirmed, Done, Found, Reply, Requested, given,
        http::{examples, typed::at, values::words},
        operations::tag::Tag,
    },
    credentials::Password,
    domain::{ErasureId, Time, word},
    erasures::{
        ErasureReceipt, ErasureScope, ErasureState, ErasureTarget, Erasures, OWN_GRACE, WantedErasure,
    },
    listen::ClientAddress,
    problems::Problem,
};

/// What users erase of their own: a request names no messages, so it cannot be content alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OwnErasureScope {
    Account,
    AccountAndContent,
}

words! {
    /// What is erased: an `account` (its messages stay, but no longer show whose they are), or `account_and_content`
    OwnErasureScope as "OwnErasureScope": "account" "account_and_content";
}

impl From<OwnErasureScope> for ErasureScope {
    fn from(scope: OwnErasureScope) -> Self {
        match scope {
            OwnErasureScope::Account => Self::Account,
            OwnErasureScope::AccountAndContent => Self::AccountAndContent,
        }
    }
}

/// The scope of the erasure, and proof of identity
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewOwnErasure {
    /// What is erased: `account`, or `account_and_content`
    #[serde(deserialize_with = "word")]
    scope: OwnErasureScope,
    /// The password of the account, at most 512 bytes. Without it, the login of the caller must be at most 5 minutes
    /// old
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_length = 512))]
    confirm: Option<String>,
}

impl Example for NewOwnErasure {
    fn example() -> Self {
        Self { scope: OwnErasureScope::AccountAndContent, confirm: Some("correct horse battery".into()) }
    }
}

/// The erasure of the caller's account
#[derive(Serialize, Object)]
#[oai(example)]
struct OwnErasure {
    /// The id of the erasure
    id: ErasureId,
    /// The state of the erasure
    state: ErasureState,
    /// What is erased
    scope: ErasureScope,
    /// When the erasure was requested
    requested_at: Time,
    /// When the erasure begins. Until then it can be cancelled
    starts_at: Time,
}

impl From<ErasureReceipt> for OwnErasure {
    fn from(ErasureReceipt { erasure, state, .. }: ErasureReceipt) -> Self {
        let (id, scope) = (erasure.id, erasure.scope);
        // Only operators may learn of legal holds.
        let state = if state == ErasureState::Held { ErasureState::Waiting } else { state };
        Self { id, state, scope, requested_at: erasure.requested_at, starts_at: erasure.starts_at }
    }
}

impl Example for OwnErasure {
    fn example() -> Self {
        Self {
            id: examples::erasure(),
            state: ErasureState::Waiting,
            scope: ErasureScope::AccountAndContent,
            requested_at: examples::time(),
            starts_at: examples::time(),
        }
    }
}

pub(in crate::api) struct OwnErasures {
    pub(in crate::api) access: Arc<Access>,
    pub(in crate::api) erasures: Erasures,
}

#[OpenApi(tag = "Tag::Accounts")]
impl OwnErasures {
    /// Erase my account
    ///
    /// Requests the erasure of the caller's account after 24 hours, alone or with all messages that the caller has
    /// sent. `confirm` has the password; without it, the login must be at most 5 minutes old, or the request is
    /// refused with `invalid_body` at `/confirm`. A wrong password is refused with `wrong_password`, and counts like
    /// one at login; if the account has none, the request is refused with 409 `no_password`. Until `starts_at` the
    /// account works as before, and the request can be cancelled. Another request can widen the scope.
    #[oai(path = "/me/erasure", method = "post", operation_id = "request_own_erasure")]
    async fn request(
        &self,
        caller: Caller,
        from: ClientAddress,
        body: Body<NewOwnErasure>,
    ) -> Result<Requested<OwnErasure>, Confirmed> {
        let NewOwnErasure { scope, confirm } = body.0;
        let password = confirm.map(|typed| at("/confirm", Password::present(typed))).transpose()?;
        if !self.access.confirm(caller.user, caller.login, password.as_ref(), from.0).await? {
            let detail =
                "required because the login is older than 5 minutes: send the password, or log in again";
            return Err(Problem::invalid("/confirm", "required", detail).into());
        }
        let target = ErasureTarget::Account(caller.user, scope.into());
        let wanted = WantedErasure { target, reason: "request".into(), grace: OWN_GRACE, actor: caller.user };
        let erasure = self.erasures.request(wanted, caller.by()).await?;
        Ok(Requested { location: "/v1/me/erasure".into(), body: erasure.into() })
    }

    /// Get my erasure
    ///
    /// Returns the erasure of the caller's account that the caller or an operator has requested.
    #[oai(path = "/me/erasure", method = "get", operation_id = "get_own_erasure")]
    async fn get(&self, caller: Caller) -> Result<Reply<OwnErasure>, Found> {
        Ok(Reply(self.erasures.of_account(caller.user).await?.into()))
    }

    /// Cancel my erasure
    ///
    /// Cancels the erasure that the caller has requested, until it begins. An erasure that an operator has requested
    /// stays.
    #[oai(path = "/me/erasure", method = "delete", operation_id = "cancel_own_erasure")]
    async fn cancel(&self, caller: Caller) -> Result<Done, Found> {
        self.erasures.cancel(caller.user, caller.by()).await?;
        Ok(Done)
    }
}
