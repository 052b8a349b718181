//! Changing a password.

use super::{error::AccessError, logins::ROUNDS, needs::Access};
use crate::{
    accounts,
    credentials::{Busy, Password, PasswordCheck},
    domain::{LoginId, UserId},
};

impl Access {
    /// Changes the password of the caller, and ends all logins but `kept` on all nodes. A login that begins with the
    /// old password at the same time fails or ends too.
    pub async fn change_password(
        &self,
        me: UserId,
        kept: LoginId,
        current: &Password,
        chosen: String,
    ) -> Result<(), AccessError> {
        let Self { pool, hasher, clock, .. } = self;
        let chosen = Password::choose(chosen, &self.account(me).await?.username)?;
        let now = clock.now();
        for _ in 0..ROUNDS {
            let checked = accounts::password(pool, me).await?.ok_or(AccessError::WrongPassword)?;
            if hasher.verify(current, Some(&checked)).await? == PasswordCheck::Wrong {
                return Err(AccessError::WrongPassword);
            }
            let new = hasher.hash(&chosen).await?;
            if let Some(ended) = accounts::replace_password(pool, me, &checked, &new, kept, now).await? {
                self.cut_off(&ended).await;
                return Ok(());
            }
        }
        Err(Busy.into())
    }
}
