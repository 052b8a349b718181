//! Logins that a host application begins for its users: ordinary logins, which the user can list and revoke.

use std::time::Duration;

use super::{error::AccessError, grant::Grant, needs::Access};
use crate::{
    accounts::{self, HostLoginError, NewLogin},
    credentials::{DeviceName, Terms, refresh_token},
    domain::{ExternalId, LoginId, UserId},
};

/// The login that a host application requests.
#[derive(Debug)]
pub struct HostLogin {
    /// The service account that makes the request.
    pub via: UserId,
    /// How long each access token is valid.
    pub life: Duration,
    /// The name of the device.
    pub device: Option<DeviceName>,
    /// Whether the login outlives its first access token.
    pub refreshes: bool,
}

impl Access {
    /// Begins a login for a user of the host application. The oldest logins that end to make room are cut off on all
    /// nodes.
    pub async fn log_in_for_host(&self, id: &ExternalId, wanted: &HostLogin) -> Result<Grant, AccessError> {
        let Self { pool, tokens, clock, .. } = self;
        let user = self.provisioned(id).await?.account.id;
        let (login, now) = (clock.id(LoginId::known), clock.now());
        let salt = refresh_token::new_salt();
        let token = refresh_token::make(&tokens.keys(), login, 0, &salt);
        let token_hash = &refresh_token::hash_of(&token)[..];
        let terms = Terms { life: wanted.life, via: Some(wanted.via) };
        let new = NewLogin {
            user,
            id: login,
            device: wanted.device.as_ref(),
            place: None,
            token_hash,
            salt: &salt,
            terms,
            ends_with: (!wanted.refreshes).then_some(wanted.life),
        };
        match accounts::begin_for_host(pool, &new, now).await {
            Ok(displaced) => self.cut_off(&displaced).await,
            Err(HostLoginError::Deactivated) => return Err(AccessError::Suspended),
            Err(HostLoginError::NoAccount) => return Err(AccessError::NotFound),
            Err(HostLoginError::Database(outage)) => return Err(outage.into()),
        }
        Ok(Grant::of(tokens, user, login, terms, 0, now, &token))
    }
}
