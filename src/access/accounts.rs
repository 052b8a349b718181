//! Registering, and changing the account of the caller.

use std::{net::IpAddr, time::Duration};

use super::{error::AccessError, needs::Access, revoking::tell};
use crate::{
    accounts::{self, Account, AccountChanges, Budget, By, Stamp, invite_codes},
    credentials::{DisplayName, OneTime, Password, Registration, Username},
    domain::UserId,
    limits::Policy,
};

/// The audit events about changes of a profile: one an hour in the long run, and so many at once.
const EVENT_EVERY: Duration = Duration::from_secs(3_600);
const EVENTS_AT_ONCE: u32 = 50;

impl Access {
    /// Creates an account for a client at an address.
    pub async fn register(
        &self,
        username: &Username,
        name: &DisplayName,
        password: &Password,
        invite: Option<&str>,
        from: IpAddr,
    ) -> Result<Account, AccessError> {
        use AccessError::{InvalidInvite, RegistrationClosed, UsernameTaken};
        if self.registration == Registration::Closed {
            return Err(RegistrationClosed);
        }
        // A taken name and a wrong code cost as much as a new account: otherwise a client could try any number of them.
        let counts = |made: &_| matches!(made, Ok(_) | Err(UsernameTaken | InvalidInvite));
        self.metered(Policy::Register, from, counts, async |turn| {
            let invite = match self.registration {
                Registration::Open | Registration::Closed => None,
                Registration::Invite => {
                    let code = invite.and_then(|code| OneTime::Invite.hash_of(code)).ok_or(InvalidInvite)?;
                    // The code is checked before the name, so that a stranger without a code learns nothing about
                    // names.
                    if !invite_codes::is_good(&self.pool, &code, self.clock.now()).await? {
                        return Err(InvalidInvite);
                    }
                    Some(code)
                }
            };
            // Of many requests for one name, only the first ones cost a hash.
            if accounts::is_taken(&self.pool, username).await? {
                return Err(UsernameTaken);
            }
            let hash = turn.hash(password).await?;
            let id = self.clock.id(UserId::known);
            let stamp = Stamp::now(&self.clock, By::account(id));
            Ok(accounts::register(&self.pool, id, username, name, &hash, invite.as_ref(), stamp).await?)
        })
        .await
    }

    /// The account of the caller.
    pub async fn account(&self, me: UserId) -> Result<Account, AccessError> {
        accounts::find(&self.pool, me).await?.ok_or(AccessError::NoAccount)
    }

    /// The user name with which the caller logs in, if the account has a password.
    pub(super) async fn login_name(&self, me: UserId) -> Result<Username, AccessError> {
        match accounts::name_and_password(&self.pool, me).await? {
            Some((name, true)) => Ok(name),
            Some((_, false)) => Err(AccessError::NoPassword),
            None => Err(AccessError::NoAccount),
        }
    }

    /// Changes the public profile of a user.
    pub async fn change(&self, me: UserId, by: By, changes: &AccountChanges) -> Result<Account, AccessError> {
        let stamp = Stamp::now(&self.clock, by);
        let key = self.limits.number_of(Policy::User, me);
        let events = Budget { key, interval: EVENT_EVERY, burst: EVENTS_AT_ONCE };
        match accounts::change(&self.pool, me, changes, stamp, &events).await? {
            Some(changed) => {
                tell("a changed account", self.commands.user_changed(me)).await;
                Ok(changed)
            }
            None => self.account(me).await,
        }
    }
}
