//! Changing a password.

use std::net::IpAddr;

use super::{error::AccessError, logins::ROUNDS, needs::Access};
use crate::{
    accounts::{
        self, By, Stamp,
        failures::{self, Prior},
    },
    credentials::{Busy, HOST_LIFE, Password, PasswordCheck, Turn},
    domain::{LoginId, UserId},
    limits::Policy,
};

impl Access {
    /// Changes the password of the caller, and ends all logins except `kept` on all nodes. A login that
    /// begins with the old password at the same time either fails or ends with the other logins. A repeated request
    /// changes nothing, because the first response may have been lost.
    pub async fn change_password(
        &self,
        me: UserId,
        kept: LoginId,
        current: &Password,
        chosen: String,
        from: IpAddr,
    ) -> Result<(), AccessError> {
        let username = self.login_name(me).await?;
        let chosen = Password::choose(chosen, &username)?;
        // A thief with an access token could guess the password here, so a wrong guess costs the same as at
        // login.
        let counts = |outcome: &_| matches!(outcome, Err(AccessError::WrongPassword));
        self.metered(Policy::Login, from, counts, async |turn| {
            let keys = self.failure_keys(username.as_str(), from);
            for _ in 0..ROUNDS {
                let before = failures::prior(&self.pool, Some(&username), &keys).await?;
                let checked = match self.check(turn, username.as_str(), current, from).await {
                    Err(AccessError::BadCredentials) if self.is_repeated(turn, &before, &chosen).await? => {
                        failures::succeeded(&self.pool, &keys).await?;
                        return self.cut_off_again(me).await;
                    }
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

    /// Cuts off the logins of an account that ended lately: the first request may have failed after the database and
    /// before the nodes were told.
    async fn cut_off_again(&self, me: UserId) -> Result<(), AccessError> {
        let ended = accounts::ended_lately(&self.pool, me, self.clock.now(), HOST_LIFE).await?;
        self.cut_off(&ended).await;
        Ok(())
    }

    /// Whether the account has the new password already. The current password was wrong, so this would be a second
    /// guess for the price of one: it is tried only if no wrong password came from here before, which holds for a
    /// repeated request, because the first one has proven the password.
    async fn is_repeated(&self, turn: &Turn, before: &Prior, chosen: &Password) -> Result<bool, Busy> {
        if before.has_failed_here {
            return Ok(false);
        }
        let verdict = turn.verify(chosen, before.account.as_ref().map(|(_, hash)| hash)).await?;
        Ok(verdict != PasswordCheck::Wrong)
    }
}
