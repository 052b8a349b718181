//! Logins that a host application begins for its users: ordinary logins, which the user can list and revoke.

use std::time::Duration;

use super::{error::AccessError, grant::Grant, needs::Access};
use crate::{
    accounts::{self, HostLoginError, NewLogin},
    credentials::{DeviceName, Terms, refresh_token::FirstToken},
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
        let (id, now) = (clock.id(LoginId::known), clock.now());
        let login = NewLogin {
            user,
            id,
            device: wanted.device.as_ref(),
            place: None,
            token: &FirstToken::draw(&tokens.keys(), id),
            terms: Terms { life: wanted.life, via: Some(wanted.via) },
            ends_with: (!wanted.refreshes).then_some(wanted.life),
        };
        match accounts::begin_for_host(pool, &login, now).await {
            Ok(displaced) => self.cut_off(&displaced).await,
            Err(HostLoginError::Deactivated) => return Err(AccessError::Suspended),
            Err(HostLoginError::NoAccount) => return Err(AccessError::NotFound),
            Err(HostLoginError::Database(outage)) => return Err(outage.into()),
        }
        Ok(Grant::first(tokens, &login, now))
    }
}
