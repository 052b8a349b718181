//! Logins that a host application begins for its users.

use sqlx::PgPool;
use thiserror::Error;

use crate::{
    accounts::logins::{NewLogin, insert, make_room},
    domain::{LoginId, Time},
};

/// Why a host application cannot begin a login.
#[derive(Debug, Error)]
pub(crate) enum HostLoginError {
    /// The account is deactivated.
    #[error("the account is deactivated: reactivate it first")]
    Deactivated,
    /// There is no such account.
    #[error("there is no such account")]
    NoAccount,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Begins a login of an active account. The oldest logins beyond the limit of an account end, and are returned.
pub(crate) async fn begin_for_host(
    pool: &PgPool,
    login: &NewLogin<'_>,
    now: Time,
) -> Result<Vec<LoginId>, HostLoginError> {
    let mut transaction = pool.begin().await?;
    // The row is locked, so that no login begins just after a deactivation.
    let is_active: Option<bool> =
        sqlx::query_scalar("select deactivated_at is null from auth.account where id = $1 for no key update")
            .bind(login.user.uuid())
            .fetch_optional(&mut *transaction)
            .await?;
    match is_active {
        None => return Err(HostLoginError::NoAccount),
        Some(false) => return Err(HostLoginError::Deactivated),
        Some(true) => {}
    }
    insert(&mut transaction, login, now).await?;
    let displaced = make_room(&mut transaction, login.user, now).await?;
    transaction.commit().await?;
    Ok(displaced)
}
