//! Logins. A login begins with a password, and ends when it is revoked, not used for a long time, or too old.

use std::time::Duration;

use sqlx::{FromRow, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, Stamp},
        refresh::{IDLE_LIFE, WHOLE_LIFE},
        revocations::end_all,
    },
    credentials::{DeviceName, PasswordHash, Terms, refresh_token::FirstToken},
    domain::{AccountField, AccountUpdated, Audited, LoginId, Time, UserId},
};

/// The maximum number of active logins of an account.
pub(crate) const MAX_LOGINS: i64 = 100;

/// The row of a login to begin.
pub(crate) struct NewLogin<'a> {
    /// The account.
    pub user: UserId,
    /// The id of the login.
    pub id: LoginId,
    /// The name that the owner gave to the device.
    pub device: Option<&'a DeviceName>,
    /// The group of addresses from which the password came; `None` for a login that a host application began.
    pub place: Option<u64>,
    /// The first refresh token, of which only the hash and the salt are stored.
    pub token: &'a FirstToken,
    /// The terms of its access tokens.
    pub terms: Terms,
    /// The lifetime of a login that cannot be refreshed.
    pub ends_with: Option<Duration>,
}

/// The result of beginning a login with a password.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The login has begun. These oldest logins ended to make room.
    Now(Vec<LoginId>),
    /// The account no longer has the hash that was checked, and nothing has changed.
    OtherPassword,
    /// The account is deactivated, and nothing has changed.
    Deactivated,
}

/// A login as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The id of the login.
    pub id: LoginId,
    /// The name that the owner gave to the device.
    pub device: Option<DeviceName>,
    /// The time at which the login began.
    pub created_at: Time,
    /// The time of the last refresh, and before the first refresh the time at which the login began. The direct use of
    /// an issuer's token is recorded once a minute.
    pub last_used_at: Time,
    /// The time at which the login ends at the latest.
    pub expires_at: Time,
}

/// Begins a login, and stores the hash `renewed`, if given, in place of `checked`. The oldest logins beyond
/// [`MAX_LOGINS`] end, and are returned.
pub(crate) async fn begin(
    pool: &PgPool,
    login: &NewLogin<'_>,
    checked: &PasswordHash,
    renewed: Option<&PasswordHash>,
    now: Time,
) -> Result<Begun, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if !still_has(&mut transaction, login.user, checked).await? {
        return Ok(Begun::OtherPassword);
    }
    // A deactivation takes the same lock as `still_has`.
    if !is_active(&mut transaction, login.user).await? {
        return Ok(Begun::Deactivated);
    }
    if let Some(renewed) = renewed {
        set_password(&mut transaction, login.user, renewed).await?;
    }
    insert(&mut transaction, login, now).await?;
    let displaced = make_room(&mut transaction, login.user, now).await?;
    transaction.commit().await?;
    Ok(Begun::Now(displaced))
}

/// Stores the hash `new` in place of `checked`, and ends all logins of the account except `kept`. Returns the ended
/// logins, or `None` if the account no longer has the hash `checked` and nothing has changed.
pub(crate) async fn replace_password(
    pool: &PgPool,
    user: UserId,
    checked: &PasswordHash,
    new: &PasswordHash,
    kept: LoginId,
    stamp: Stamp,
) -> Result<Option<Vec<LoginId>>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    if !still_has(&mut transaction, user, checked).await? {
        return Ok(None);
    }
    set_password(&mut transaction, user, new).await?;
    let ended = end_all(&mut transaction, user, Some(kept), stamp.at).await?;
    let changed = AccountUpdated {
        changed: vec![AccountField::Password],
        logins_revoked: Some(ended.len().try_into().unwrap_or(u32::MAX)),
    };
    audit::note(&mut transaction, stamp, Audited::AccountUpdated(user.into(), changed)).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

/// The active logins of an account, the latest first: at most [`MAX_LOGINS`] with tokens of Verbatim, and as many that
/// use an issuer's token directly.
pub(crate) async fn list(pool: &PgPool, user: UserId, now: Time) -> Result<Vec<Login>, sqlx::Error> {
    #[derive(FromRow)]
    struct LoginRow {
        id: Uuid,
        device: Option<String>,
        created_at: OffsetDateTime,
        last_used_at: OffsetDateTime,
        expires_at: OffsetDateTime,
    }
    let rows: Vec<LoginRow> = sqlx::query_as(
        "select id, device, created_at, last_used_at, expires_at from auth.login
         where account_id = $1 and revoked_at is null and expires_at > $2 and last_used_at > $3
         union all
         select login_id, null, created_at, last_used_at, expires_at from auth.direct_login
         where account_id = $1 and revoked_at is null and expires_at > $2
         order by created_at desc, id desc limit $4",
    )
    .bind(user.uuid())
    .bind(now.datetime())
    .bind(now.datetime() - IDLE_LIFE)
    .bind(2 * MAX_LOGINS)
    .fetch_all(pool)
    .await?;
    let login = |row: LoginRow| Login {
        id: LoginId::known(row.id),
        device: row.device.map(DeviceName::known),
        created_at: Time::of(row.created_at),
        last_used_at: Time::of(row.last_used_at),
        expires_at: Time::of(row.expires_at),
    };
    Ok(rows.into_iter().map(login).collect())
}

/// Whether the account still has the hash that was checked. The row of the account is locked until the end of the
/// transaction: without the lock, a login could begin with the old password just after a change of the password.
async fn still_has(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    hash: &PasswordHash,
) -> Result<bool, sqlx::Error> {
    let now: Option<Option<String>> =
        sqlx::query_scalar("select password_hash from auth.account where id = $1 for no key update")
            .bind(user.uuid())
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(now.flatten().as_deref() == Some(hash.as_str()))
}

async fn is_active(transaction: &mut Transaction<'_, Postgres>, user: UserId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select deactivated_at is null from auth.account where id = $1")
        .bind(user.uuid())
        .fetch_one(&mut **transaction)
        .await
}

pub(super) async fn set_password(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    hash: &PasswordHash,
) -> Result<(), sqlx::Error> {
    sqlx::query("update auth.account set password_hash = $2 where id = $1")
        .bind(user.uuid())
        .bind(hash.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

pub(super) async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    login: &NewLogin<'_>,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.login
             (id, account_id, device, generation, token_hash, salt, created_at, rotated_at, last_used_at, expires_at,
              place, via, life_s)
         values ($1, $2, $3, 0, $4, $5, $6, $6, $6, $7, $8, $9, case when $9 is null then null else $10 end)",
    )
    .bind(login.id.uuid())
    .bind(login.user.uuid())
    .bind(login.device.map(DeviceName::as_str))
    .bind(&login.token.hash[..])
    .bind(&login.token.salt[..])
    .bind(now.datetime())
    .bind(now.plus(login.ends_with.unwrap_or(WHOLE_LIFE)).datetime())
    .bind(login.place.map(u64::cast_signed))
    .bind(login.terms.via.map(UserId::uuid))
    .bind(login.terms.life_in_seconds())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends the oldest logins beyond the limit, and deletes the logins that ended more than a day ago.
pub(super) async fn make_room(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    sqlx::query("delete from auth.login where account_id = $1 and least(revoked_at, expires_at) < $2")
        .bind(user.uuid())
        .bind(now.datetime() - time::Duration::DAY)
        .execute(&mut **transaction)
        .await?;
    let displaced: Vec<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $2 where id in (
             select id from auth.login
             where account_id = $1 and revoked_at is null and expires_at > $2 and last_used_at > $3
             order by created_at desc, id desc offset $4
         ) returning id",
    )
    .bind(user.uuid())
    .bind(now.datetime())
    .bind(now.datetime() - IDLE_LIFE)
    .bind(MAX_LOGINS)
    .fetch_all(&mut **transaction)
    .await?;
    Ok(displaced.into_iter().map(LoginId::known).collect())
}
