//! Recovery tokens, which allow setting a new password without the current one. An account has at most one.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        logins, revocations,
    },
    credentials::{OneTimeHash, PasswordHash, Username},
    domain::{AccountField, AccountUpdated, Audited, LoginId, RecoveryIssued, Time, UserId},
};

/// The result of creating a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issued {
    /// The token is stored in place of an older one.
    Stored,
    /// The account has no password, because its users come from a host application or an external issuer.
    NoPassword,
    /// There is no such account, or the account is deactivated or belongs to a program.
    NoAccount,
}

/// Stores the token of an account that has a password. An account without one never gets one: its owner would come in
/// past the host application or the issuer.
pub(crate) async fn issue(
    pool: &PgPool,
    user: UserId,
    hash: &OneTimeHash,
    expires_at: Time,
    stamp: Stamp,
) -> sqlx::Result<Issued> {
    let mut transaction = pool.begin().await?;
    let has_password: Option<bool> = sqlx::query_scalar(
        "select password_hash is not null from auth.account
         where id = $1 and kind = 'user' and deactivated_at is null for no key update",
    )
    .bind(user.uuid())
    .fetch_optional(&mut *transaction)
    .await?;
    match has_password {
        Some(true) => {}
        Some(false) => return Ok(Issued::NoPassword),
        None => return Ok(Issued::NoAccount),
    }
    sqlx::query(
        "insert into auth.recovery (account_id, token_hash, created_at, expires_at)
         values ($1, $2, $3, $4)
         on conflict (account_id) do update set
             token_hash = excluded.token_hash, created_at = excluded.created_at, expires_at = excluded.expires_at",
    )
    .bind(user.uuid())
    .bind(&hash[..])
    .bind(stamp.at.datetime())
    .bind(expires_at.datetime())
    .execute(&mut *transaction)
    .await?;
    let issued = RecoveryIssued { expires_at };
    audit::note(&mut transaction, stamp, Audited::RecoveryIssued(user.into(), issued)).await?;
    transaction.commit().await?;
    Ok(Issued::Stored)
}

/// The user name of the account of a currently valid token.
pub(crate) async fn account_of(
    pool: &PgPool,
    hash: &OneTimeHash,
    now: Time,
) -> sqlx::Result<Option<Username>> {
    let name: Option<String> = sqlx::query_scalar(
        "select username from auth.recovery join auth.account on id = account_id
         where token_hash = $1 and expires_at > $2 and deactivated_at is null",
    )
    .bind(&hash[..])
    .bind(now.datetime())
    .fetch_optional(pool)
    .await?;
    Ok(name.map(Username::known))
}

/// Spends a token: stores a new password and ends all logins of the account, which are returned. `None` if the token is
/// not valid. Of two requests with one token, the first one deletes its row, and the second one finds none.
pub(crate) async fn redeem(
    pool: &PgPool,
    hash: &OneTimeHash,
    password: &PasswordHash,
    stamp: impl FnOnce(UserId) -> Stamp,
    now: Time,
) -> sqlx::Result<Option<Vec<LoginId>>> {
    let mut transaction = pool.begin().await?;
    let spent: Option<Uuid> = sqlx::query_scalar(
        "delete from auth.recovery using auth.account
         where token_hash = $1 and expires_at > $2 and id = account_id and deactivated_at is null
         returning account_id",
    )
    .bind(&hash[..])
    .bind(now.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(user) = spent.map(UserId::known) else { return Ok(None) };
    // A login locks the row of the account first. This update locks the same row before the logins are ended, so no
    // login with the old password can begin afterwards.
    logins::set_password(&mut transaction, user, password).await?;
    let ended = revocations::end_all(&mut transaction, user, None, now).await?;
    let changed = AccountUpdated {
        changed: vec![AccountField::Password],
        logins_revoked: Some(ended.len().try_into().unwrap_or(u32::MAX)),
    };
    audit::note(&mut transaction, stamp(user), Audited::AccountUpdated(user.into(), changed)).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}
