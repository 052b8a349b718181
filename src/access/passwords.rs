//! Changing a password.

use std::net::IpAddr;

use super::{error::AccessError, logins::ROUNDS, needs::Access};
use crate::{
    accounts::{self, By, Stamp},
    credentials::{Busy, Password},
    domain::{LoginId, UserId},
    limits::Policy,
};

impl Access {
    /// Changes the password of the caller, and ends all logins except `kept` on all nodes. A login that
    /// begins with the old password at the same time either fails or ends with the other logins.
    pub async fn change_password(
        &self,
        me: UserId,
        kept: LoginId,
        current: &Password,
        chosen: String,
        from: IpAddr,
    ) -> Result<(), AccessError> {
        let username = self.account(me).await?.username;
        let chosen = Password::choose(chosen, &username)?;
        // A thief with an access token could guess the password here, so a wrong guess costs the same as at
        // login.
        let counts = |outcome: &_| matches!(outcome, Err(AccessError::WrongPassword));
        self.metered(Policy::Login, from, counts, async |turn| {
            for _ in 0..ROUNDS {
                let checked = match self.check(turn, username.as_str(), current, from).await {
                    Err(AccessError::BadCredentials) => return Err(AccessError::WrongPassword),
                    checked => checked?.hash,
                };
                let new = turn.hash(&chosen).await?;
                let stamp = Stamp::now(&self.clock, By::account(me));
                let ended = accounts::replace_password(&self.pool, me, &checked, &new, kept, stamp).await?;
                if let Some(ended) = ended {
                    self.cut_off(&ended).await;
                    return Ok(());
                }
            }
            Err(Busy.into())
        })
        .await
    }
}
