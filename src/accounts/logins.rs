//! Logins: what began with a password and lasts until it is revoked, unused or old.

use std::time::Duration;

use sqlx::{FromRow, PgExecutor, PgPool, Postgres, Transaction};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        Grant,
        refresh::{IDLE_LIFE, WHOLE_LIFE},
    },
    credentials::{
        Busy, DeviceName, Hasher, Password, PasswordHash, Tokens, Username, Verdict,
        refresh_token::{self, Salt},
    },
    domain::{LoginId, Time, UserId},
};

/// The most logins of an account that live at the same time.
pub const MAX_LOGINS: i64 = 100;

/// How often a decision is made anew because the password hash changed under it.
const ROUNDS: usize = 3;

/// The input of a login.
#[derive(Debug)]
pub struct Attempt {
    /// The account; `None` if what was typed cannot be a user name. It then fails like an unknown one.
    pub username: Option<Username>,
    /// The password as typed.
    pub password: Password,
    /// The name that the person gives to the device.
    pub device: Option<DeviceName>,
}

/// The result of a login.
#[derive(Debug)]
pub struct LoggedIn {
    /// The account, and its tokens.
    pub grant: Grant,
    /// Older logins that ended to make room: cut their sockets everywhere.
    pub displaced: Vec<LoginId>,
}

/// Why nobody was logged in.
#[derive(Debug, Error)]
pub enum LogInError {
    /// No such account, or not its password; which, is not told, nor by the time it takes.
    #[error("user name or password is wrong: check both")]
    BadCredentials,
    /// No capacity to check a password now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Why a password was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The current password is another one, or the account is gone.
    #[error("the current password is wrong: check it")]
    WrongPassword,
    /// No capacity to check a password now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A login as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its id.
    pub id: LoginId,
    /// The name that the owner gives to the device.
    pub device: Option<DeviceName>,
    /// When the password was checked.
    pub created_at: Time,
    /// When it was last refreshed.
    pub last_used_at: Time,
    /// When it ends at the latest.
    pub expires_at: Time,
}

/// The result of revoking a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It ended just now: cut its sockets everywhere.
    Done,
    /// It had ended before.
    Already,
    /// This account has no such login.
    Unknown,
}

/// Checks a password and begins the login `id`. A hash of another cost than today's is renewed.
/// Beyond [`MAX_LOGINS`] the oldest login ends.
pub async fn log_in(
    pool: &PgPool,
    hasher: &Hasher,
    tokens: &Tokens,
    attempt: &Attempt,
    id: LoginId,
    now: Time,
) -> Result<LoggedIn, LogInError> {
    for _ in 0..ROUNDS {
        let known = match &attempt.username {
            Some(username) => credentials(pool, username).await?,
            None => None,
        };
        let verdict = hasher.verify(&attempt.password, known.as_ref().map(|(_, hash)| hash)).await?;
        let (user, hash) = match (known, verdict) {
            (Some(known), Verdict::Right | Verdict::RightButStale) => known,
            _ => return Err(LogInError::BadCredentials),
        };
        let renewed = match verdict {
            Verdict::RightButStale => hasher.hash(&attempt.password).await.ok(),
            _ => None,
        };
        let mut transaction = pool.begin().await?;
        if !still_has(&mut transaction, user, &hash).await? {
            continue;
        }
        if let Some(renewed) = renewed {
            set_password(&mut transaction, user, &renewed).await?;
        }
        let salt = refresh_token::new_salt();
        let token = refresh_token::make(tokens.keys(), id, 0, &salt);
        begin(&mut transaction, user, id, attempt.device.as_ref(), &token, &salt, now).await?;
        let displaced = make_room(&mut transaction, user, now).await?;
        transaction.commit().await?;
        return Ok(LoggedIn { grant: Grant::of(tokens, user, id, 0, now, &token), displaced });
    }
    Err(Busy.into())
}

/// The logins of an account that are not over, youngest first, at most [`MAX_LOGINS`].
pub async fn list(pool: &PgPool, user: UserId, now: Time) -> Result<Vec<Login>, sqlx::Error> {
    #[derive(FromRow)]
    struct Row {
        id: Uuid,
        device: Option<String>,
        created_at: OffsetDateTime,
        last_used_at: OffsetDateTime,
        expires_at: OffsetDateTime,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "select id, device, created_at, last_used_at, expires_at from auth.login
         where account_id = $1 and revoked_at is null and expires_at > $2 and last_used_at > $3
         order by created_at desc, id desc limit $4",
    )
    .bind(user.uuid())
    .bind(now.datetime())
    .bind(now.datetime() - IDLE_LIFE)
    .bind(MAX_LOGINS)
    .fetch_all(pool)
    .await?;
    let login = |row: Row| Login {
        id: LoginId::known(row.id),
        device: row.device.map(DeviceName::known),
        created_at: Time::of(row.created_at),
        last_used_at: Time::of(row.last_used_at),
        expires_at: Time::of(row.expires_at),
    };
    Ok(rows.into_iter().map(login).collect())
}

/// Ends a login of this account.
pub async fn revoke(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    now: Time,
) -> Result<Revocation, sqlx::Error> {
    let was_alive: Option<bool> = sqlx::query_scalar(
        "with known as (
             select id, revoked_at from auth.login where id = $1 and account_id = $2 for update
         ), ended as (
             update auth.login set revoked_at = $3
             from known where login.id = known.id and known.revoked_at is null
         )
         select revoked_at is null from known",
    )
    .bind(login.uuid())
    .bind(user.uuid())
    .bind(now.datetime())
    .fetch_optional(pool)
    .await?;
    Ok(match was_alive {
        Some(true) => Revocation::Done,
        Some(false) => Revocation::Already,
        None => Revocation::Unknown,
    })
}

/// Ends all logins of an account but `kept`; answers those that ended: cut their sockets everywhere.
pub async fn revoke_all_but(
    pool: &PgPool,
    user: UserId,
    kept: Option<LoginId>,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    end_all_but(pool, user, kept, now).await
}

/// The logins revoked within this age of now, by our clock or the database's, whichever is behind: ours may
/// just be far ahead.
pub async fn revoked_since(pool: &PgPool, now: Time, age: Duration) -> Result<Vec<LoginId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.login where revoked_at > least($1, now()) - make_interval(secs => $2)",
    )
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(LoginId::known).collect())
}

/// Ends all logins of everybody that began before a time; answers those that ended.
pub async fn revoke_begun_before(pool: &PgPool, time: Time, now: Time) -> Result<Vec<LoginId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $2 where created_at < $1 and revoked_at is null and expires_at > $2
         returning id",
    )
    .bind(time.datetime())
    .bind(now.datetime())
    .fetch_all(pool)
    .await?;
    Ok(ended.into_iter().map(LoginId::known).collect())
}

/// Changes a password and ends all logins of the account but `kept`; answers those that ended: cut
/// their sockets everywhere. A log-in by the old password that is under way fails or ends too.
pub async fn change_password(
    pool: &PgPool,
    hasher: &Hasher,
    user: UserId,
    kept: LoginId,
    current: &Password,
    chosen: &Password,
    now: Time,
) -> Result<Vec<LoginId>, ChangeError> {
    for _ in 0..ROUNDS {
        let hash: Option<String> = sqlx::query_scalar("select password_hash from auth.account where id = $1")
            .bind(user.uuid())
            .fetch_optional(pool)
            .await?;
        let hash = PasswordHash::stored(hash.ok_or(ChangeError::WrongPassword)?);
        if hasher.verify(current, Some(&hash)).await? == Verdict::Wrong {
            return Err(ChangeError::WrongPassword);
        }
        let new = hasher.hash(chosen).await?;
        let mut transaction = pool.begin().await?;
        if !still_has(&mut transaction, user, &hash).await? {
            continue;
        }
        set_password(&mut transaction, user, &new).await?;
        let ended = end_all_but(&mut *transaction, user, Some(kept), now).await?;
        transaction.commit().await?;
        return Ok(ended);
    }
    Err(Busy.into())
}

async fn credentials(
    pool: &PgPool,
    username: &Username,
) -> Result<Option<(UserId, PasswordHash)>, sqlx::Error> {
    let known: Option<(Uuid, String)> = sqlx::query_as(
        "select id, password_hash from auth.account where username_key = $1 and username = $2",
    )
    .bind(username.key())
    .bind(username.as_str())
    .fetch_optional(pool)
    .await?;
    Ok(known.map(|(id, hash)| (UserId::known(id), PasswordHash::stored(hash))))
}

/// Whether the hash that was checked is still the account's; if so, it stays so until the end of
/// the transaction. Without this a log-in could pass by a password that is just being changed.
async fn still_has(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    hash: &PasswordHash,
) -> Result<bool, sqlx::Error> {
    let now: Option<String> =
        sqlx::query_scalar("select password_hash from auth.account where id = $1 for no key update")
            .bind(user.uuid())
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(now.as_deref() == Some(hash.as_str()))
}

async fn set_password(
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

async fn begin(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    id: LoginId,
    device: Option<&DeviceName>,
    token: &str,
    salt: &Salt,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.login
             (id, account_id, device, generation, token_hash, salt, created_at, rotated_at, last_used_at, expires_at)
         values ($1, $2, $3, 0, $4, $5, $6, $6, $6, $7)",
    )
    .bind(id.uuid())
    .bind(user.uuid())
    .bind(device.map(DeviceName::as_str))
    .bind(&refresh_token::hash_of(token)[..])
    .bind(&salt[..])
    .bind(now.datetime())
    .bind(now.plus(WHOLE_LIFE).datetime())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends the oldest logins beyond the limit, and forgets those that ended more than a day ago.
async fn make_room(
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

async fn end_all_but(
    database: impl PgExecutor<'_>,
    user: UserId,
    kept: Option<LoginId>,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $3
         where account_id = $1 and id is distinct from $2 and revoked_at is null and expires_at > $3
         returning id",
    )
    .bind(user.uuid())
    .bind(kept.map(LoginId::uuid))
    .bind(now.datetime())
    .fetch_all(database)
    .await?;
    Ok(ended.into_iter().map(LoginId::known).collect())
}
