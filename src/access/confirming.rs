//! Confirming that the caller is the owner of the account, before an action that cannot be undone.

use std::{net::IpAddr, time::Duration};

use super::{error::AccessError, needs::Access};
use crate::{
    accounts,
    credentials::Password,
    domain::{LoginId, UserId},
    limits::Policy,
};

/// A login that began within this time is enough to confirm.
const FRESH: Duration = Duration::from_secs(300);

impl Access {
    /// Whether the caller is confirmed: by the password, or without one by a login that is younger than five minutes.
    pub async fn confirm(
        &self,
        me: UserId,
        login: LoginId,
        password: Option<&Password>,
        from: IpAddr,
    ) -> Result<bool, AccessError> {
        let Some(password) = password else {
            return Ok(accounts::is_fresh(&self.pool, me, login, self.clock.now(), FRESH).await?);
        };
        let username = self.login_name(me).await?;
        // A thief with an access token could guess the password here, so a wrong guess costs the same as at login.
        let counts = |outcome: &_| matches!(outcome, Err(AccessError::WrongPassword));
        self.metered(Policy::Login, from, counts, async |turn| {
            match self.check(turn, username.as_str(), password, from).await {
                Err(AccessError::BadCredentials) => Err(AccessError::WrongPassword),
                checked => checked.map(|_| true),
            }
        })
        .await
    }
}
