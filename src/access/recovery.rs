//! Recovering an account without its password: an operator or a host application requests a token, and gives it to the
//! owner by its own means.

use std::{net::IpAddr, time::Duration};

use sqlx::PgPool;

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{
        By, Stamp, failures,
        recovery::{self, Issued},
    },
    clock::Clock,
    credentials::{OneTime, OneTimeText, Password},
    domain::{Time, UserId},
    limits::Policy,
};

/// The shortest and the longest lifetime of a token.
pub(crate) const RECOVERY_LIFE: (Duration, Duration) =
    (Duration::from_secs(5 * 60), Duration::from_secs(24 * 3_600));
/// The default lifetime of a token.
pub(crate) const RECOVERY_DEFAULT: Duration = Duration::from_secs(3_600);

/// A new token. It gives access to the account: show it once, to the caller.
pub(crate) struct Recovery {
    /// The text of the token.
    pub token: OneTimeText,
    /// The time at which it expires.
    pub expires_at: Time,
}

/// Creates a recovery token, which replaces an earlier one. An account that is deactivated or belongs to a program
/// counts as unknown.
pub(crate) async fn issue_recovery(
    pool: &PgPool,
    clock: &Clock,
    by: By,
    user: UserId,
    life: Duration,
) -> Result<Recovery, AccessError> {
    let stamp = Stamp::now(clock, by);
    let expires_at = stamp.at.plus(life);
    let (token, hash) = OneTime::Recovery.new_text();
    match recovery::issue(pool, user, &hash, expires_at, stamp).await? {
        Issued::Stored => Ok(Recovery { token, expires_at }),
        Issued::NoPassword => Err(AccessError::NoPassword),
        Issued::NoAccount => Err(AccessError::NotFound),
    }
}

impl Access {
    /// Creates a recovery token for an account.
    pub async fn issue_recovery(
        &self,
        by: By,
        user: UserId,
        life: Duration,
    ) -> Result<Recovery, AccessError> {
        issue_recovery(&self.pool, &self.clock, by, user, life).await
    }

    /// Sets a new password with a recovery token, and ends all logins of the account on all nodes. A refused password
    /// does not spend the token.
    pub async fn recover(&self, token: &str, chosen: String, from: IpAddr) -> Result<(), AccessError> {
        use AccessError::InvalidRecovery;
        // A guess costs as much as a wrong password. A token has 256 random bits, so the timing of an answer reveals
        // nothing useful.
        let counts = |outcome: &_| matches!(outcome, Err(InvalidRecovery));
        self.metered(Policy::Login, from, counts, async |turn| {
            let hash = OneTime::Recovery.hash_of(token).ok_or(InvalidRecovery)?;
            let username = recovery::account_of(&self.pool, &hash, self.clock.now()).await?;
            let username = username.ok_or(InvalidRecovery)?;
            let chosen = Password::choose(chosen, &username)?;
            let password = turn.hash(&chosen).await?;
            let stamp = |user| Stamp::now(&self.clock, By::account(user));
            let ended = recovery::redeem(&self.pool, &hash, &password, stamp, self.clock.now()).await?;
            self.cut_off(&ended.ok_or(InvalidRecovery)?).await;
            // The owner may have guessed passwords before, and should no longer wait because of them.
            failures::succeeded(&self.pool, &self.failure_keys(username.as_str(), from)).await?;
            Ok(())
        })
        .await
    }
}
