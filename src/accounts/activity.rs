//! Deactivating the account of a user of the host application, and reactivating it. A deactivated account keeps its
//! place in conversations; it has no login and cannot begin one.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        provisioned::locked,
    },
    domain::{AccountRestored, AccountSuspended, Audited, ExternalId, LoginId, UserId},
};

/// Deactivates an account and ends all its logins. Returns all logins that have ended lately, because an earlier request
/// may have failed between the database and the nodes. `None` if there is no such user.
pub(crate) async fn deactivate(
    pool: &PgPool,
    id: &ExternalId,
    stamp: Stamp,
) -> sqlx::Result<Option<(UserId, Vec<LoginId>)>> {
    let mut transaction = pool.begin().await?;
    // A login begins behind a lock of the same row. So it either is found here, or finds the account deactivated.
    let Some(user) = locked(&mut transaction, id).await? else { return Ok(None) };
    let account = user.account.id;
    if user.deactivated_at.is_none() {
        sqlx::query("update auth.account set deactivated_at = $2 where id = $1")
            .bind(account.uuid())
            .bind(stamp.at.datetime())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("update auth.login set revoked_at = $2 where account_id = $1 and revoked_at is null")
            .bind(account.uuid())
            .bind(stamp.at.datetime())
            .execute(&mut *transaction)
            .await?;
        let suspended = Audited::AccountSuspended(account.into(), AccountSuspended {});
        audit::note(&mut transaction, stamp, suspended).await?;
    }
    let ended: Vec<Uuid> =
        sqlx::query_scalar("select id from auth.login where account_id = $1 and revoked_at is not null")
            .bind(account.uuid())
            .fetch_all(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok(Some((account, ended.into_iter().map(LoginId::known).collect())))
}

/// Lets an account act again. `None` if there is no such user.
pub(crate) async fn reactivate(pool: &PgPool, id: &ExternalId, stamp: Stamp) -> sqlx::Result<Option<UserId>> {
    let mut transaction = pool.begin().await?;
    let Some(user) = locked(&mut transaction, id).await? else { return Ok(None) };
    if user.deactivated_at.is_some() {
        sqlx::query("update auth.account set deactivated_at = null where id = $1")
            .bind(user.account.id.uuid())
            .execute(&mut *transaction)
            .await?;
        let restored = Audited::AccountRestored(user.account.id.into(), AccountRestored {});
        audit::note(&mut transaction, stamp, restored).await?;
        transaction.commit().await?;
    }
    Ok(Some(user.account.id))
}
