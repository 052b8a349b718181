//! Beginning, listing and ending logins.

use std::net::IpAddr;

use super::{attempts::Checked, error::AccessError, grant::Grant, needs::Access};
use crate::{
    accounts::{self, Begun, By, Login, NewLogin, Revocation, Stamp},
    credentials::{Busy, DeviceName, Password, Terms, Turn, refresh_token::FirstToken},
    domain::{LoginId, Time, UserId},
    limits::Policy,
};

/// How often a password is checked if the stored hash changes between the check and the use of its result.
pub(super) const ROUNDS: usize = 3;

/// The input of a login.
#[derive(Debug)]
pub struct Attempt {
    /// The user name as typed. A text that is not a valid user name fails like an unknown account.
    pub username: String,
    /// The password as typed.
    pub password: Password,
    /// The name of the device.
    pub device: Option<DeviceName>,
    /// The address of the client.
    pub from: IpAddr,
}

impl Access {
    /// Checks a password and begins a login. A stored hash with an outdated cost is renewed. The oldest logins that end
    /// to make room are cut off on all nodes.
    pub async fn log_in(&self, attempt: &Attempt) -> Result<Grant, AccessError> {
        // Only a wrong password counts, because many people may share a group of addresses.
        let counts = |outcome: &_| matches!(outcome, Err(AccessError::BadCredentials));
        self.metered(Policy::Login, attempt.from, counts, async |turn| self.begin(turn, attempt).await).await
    }

    async fn begin(&self, turn: &Turn, attempt: &Attempt) -> Result<Grant, AccessError> {
        let Self { pool, tokens, clock, .. } = self;
        let Attempt { username, password, device, from } = attempt;
        let (id, now) = (clock.id(LoginId::known), clock.now());
        for _ in 0..ROUNDS {
            let Checked { user, hash, is_stale } = self.check(turn, username, password, *from).await?;
            let renewed = if is_stale { turn.hash(password).await.ok() } else { None };
            let token = &FirstToken::draw(&tokens.keys(), id);
            let (device, place) = (device.as_ref(), Some(self.place(*from)));
            let terms = Terms::default();
            let login = NewLogin { user, id, device, place, token, terms, ends_with: None };
            match accounts::begin(pool, &login, &hash, renewed.as_ref(), now).await? {
                Begun::Now(displaced) => {
                    self.cut_off(&displaced).await;
                    return Ok(Grant::first(tokens, &login, now));
                }
                Begun::Deactivated => return Err(AccessError::Suspended),
                Begun::OtherPassword => {}
            }
        }
        Err(Busy.into())
    }

    /// The active logins of the caller, the latest first, from after the login `after`.
    pub async fn logins(
        &self,
        me: UserId,
        after: Option<(Time, LoginId)>,
    ) -> Result<Vec<Login>, AccessError> {
        let mut logins = accounts::list(&self.pool, me, self.clock.now()).await?;
        if let Some(end) = after {
            logins.retain(|login| (login.created_at, login.id) < end);
        }
        Ok(logins)
    }

    /// Ends a login of the caller on all nodes. A login that ended before is cut off again, because the first request
    /// may have failed after the database and before the nodes were told.
    pub async fn revoke(&self, me: UserId, login: LoginId) -> Result<(), AccessError> {
        let stamp = Stamp::now(&self.clock, By::account(me));
        match accounts::revoke(&self.pool, me, login, stamp).await? {
            Revocation::Unknown => Err(AccessError::NotFound),
            Revocation::Done | Revocation::Already => {
                self.cut_off(&[login]).await;
                Ok(())
            }
        }
    }

    /// Ends the login of a refresh token of the caller on all nodes, or without one the login of this request. The
    /// nodes refuse the tokens of the login even if its row is already gone.
    pub async fn log_out(
        &self,
        me: UserId,
        login: LoginId,
        refresh_token: Option<&str>,
    ) -> Result<(), AccessError> {
        let login = match refresh_token {
            Some(text) => self.login_of(me, text).await?,
            None => login,
        };
        accounts::log_out(&self.pool, me, login, self.clock.now()).await?;
        self.cut_off(&[login]).await;
        Ok(())
    }
}
