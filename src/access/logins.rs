//! Logins: beginning, listing and ending them.

use super::{error::AccessError, grant::Grant, needs::Access};
use crate::{
    accounts::{self, Login, NewLogin, Revocation},
    credentials::{Busy, DeviceName, Password, PasswordCheck, PasswordHash, Username, refresh_token},
    domain::{LoginId, Time, UserId},
};

/// How often a password is checked anew because its hash changed meanwhile.
pub(super) const ROUNDS: usize = 3;

/// The input of a login.
#[derive(Debug)]
pub struct Attempt {
    /// The account; `None` if the text cannot be a user name. The attempt then fails like that of an unknown account.
    pub username: Option<Username>,
    /// The password as typed.
    pub password: Password,
    /// The name that the person gives to the device.
    pub device: Option<DeviceName>,
}

impl Access {
    /// Checks a password and begins a login. A hash of another cost than today's is renewed. The logins that end to
    /// make room are cut off.
    pub async fn log_in(&self, attempt: &Attempt) -> Result<Grant, AccessError> {
        let Self { pool, tokens, clock, .. } = self;
        let (id, now) = (clock.id(LoginId::known), clock.now());
        for _ in 0..ROUNDS {
            let (user, checked, renewed) = self.check(attempt).await?;
            let salt = refresh_token::new_salt();
            let token = refresh_token::make(tokens.keys(), id, 0, &salt);
            let token_hash = &refresh_token::hash_of(&token)[..];
            let login = NewLogin { user, id, device: attempt.device.as_ref(), token_hash, salt: &salt };
            if let Some(displaced) = accounts::begin(pool, &login, &checked, renewed.as_ref(), now).await? {
                self.cut_off(&displaced).await;
                return Ok(Grant::of(tokens, user, id, 0, now, &token));
            }
        }
        Err(Busy.into())
    }

    /// The active logins of the caller, the latest first, from behind the login `after`.
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

    /// Ends a login of the caller on all nodes. A login that has ended before is cut off again, because the first
    /// request may have failed between the database and the nodes.
    pub async fn revoke(&self, me: UserId, login: LoginId) -> Result<(), AccessError> {
        match accounts::revoke(&self.pool, me, login, self.clock.now()).await? {
            Revocation::Unknown => Err(AccessError::NotFound),
            Revocation::Done | Revocation::Already => {
                self.cut_off(&[login]).await;
                Ok(())
            }
        }
    }

    /// Ends the login of this request on all nodes. Its row may be gone already; its token is refused all the same.
    pub async fn log_out(&self, me: UserId, login: LoginId) -> Result<(), AccessError> {
        accounts::revoke(&self.pool, me, login, self.clock.now()).await?;
        self.cut_off(&[login]).await;
        Ok(())
    }

    /// The account of a right password, the hash that was checked, and a new hash if that one is of another cost.
    async fn check(
        &self,
        attempt: &Attempt,
    ) -> Result<(UserId, PasswordHash, Option<PasswordHash>), AccessError> {
        let known = match &attempt.username {
            Some(username) => accounts::password_by_username(&self.pool, username).await?,
            None => None,
        };
        // Unknown accounts are checked too, so that the time tells nothing.
        let verdict = self.hasher.verify(&attempt.password, known.as_ref().map(|(_, hash)| hash)).await?;
        let (user, hash) = match (known, verdict) {
            (Some(known), PasswordCheck::Right | PasswordCheck::RightButStale) => known,
            _ => return Err(AccessError::BadCredentials),
        };
        let renewed = match verdict {
            PasswordCheck::RightButStale => self.hasher.hash(&attempt.password).await.ok(),
            _ => None,
        };
        Ok((user, hash, renewed))
    }
}
