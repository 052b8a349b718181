//! Logins. A login begins with a password, and ends when it is revoked, not used for a long time, or too old.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        audit::{self, By, Stamp},
        refresh::{IDLE_LIFE, WHOLE_LIFE},
    },
    clock::Clock,
    credentials::{DeviceName, PasswordHash, Terms},
    domain::{AccountField, AccountUpdated, Audited, LoginId, LoginRevoked, RevokedBy, Time, UserId},
};

/// The most logins of an account that live at the same time.
pub(crate) const MAX_LOGINS: i64 = 100;

/// The events that are noted in one statement.
const AT_ONCE: usize = 1_000;

/// The row of a login to begin.
#[derive(Debug)]
pub(crate) struct NewLogin<'a> {
    /// The account.
    pub user: UserId,
    /// The id of the login.
    pub id: LoginId,
    /// The name that the owner gives to the device.
    pub device: Option<&'a DeviceName>,
    /// The group of addresses from which the password came; `None` for a login that a host application began.
    pub place: Option<u64>,
    /// The hash of the first refresh token.
    pub token_hash: &'a [u8],
    /// The salt of all refresh tokens of the login.
    pub salt: &'a [u8],
    /// The terms of its access tokens.
    pub terms: Terms,
    /// How long the login lives if it cannot be refreshed.
    pub ends_with: Option<Duration>,
}

/// The result of beginning a login with a password.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The login has begun. The oldest logins, which end to make room, are these.
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
    /// The name that the owner gives to the device.
    pub device: Option<DeviceName>,
    /// The time at which the password was checked.
    pub created_at: Time,
    /// The time of the last refresh; before the first refresh, the time at which the password was checked.
    pub last_used_at: Time,
    /// The time at which the login ends at the latest.
    pub expires_at: Time,
}

/// The result of revoking a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The login ended just now.
    Done,
    /// The login had ended before.
    Already,
    /// This account has no such login.
    Unknown,
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
    // The lock of `still_has` is the one behind which an account is deactivated.
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

/// Stores the hash `new` in place of `checked`, and ends all logins of the account but `kept`. The ended
/// logins are returned. `None`: the account no longer has the hash `checked`, and nothing has changed.
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
    let ended = end_all_but(&mut transaction, user, kept, stamp.at).await?;
    let changed = AccountUpdated {
        changed: vec![AccountField::Password],
        logins_revoked: Some(ended.len().try_into().unwrap_or(u32::MAX)),
    };
    audit::note(&mut transaction, stamp, Audited::AccountUpdated(user.into(), changed)).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

/// The active logins of an account, the latest first, at most [`MAX_LOGINS`].
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
         order by created_at desc, id desc limit $4",
    )
    .bind(user.uuid())
    .bind(now.datetime())
    .bind(now.datetime() - IDLE_LIFE)
    .bind(MAX_LOGINS)
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

/// Ends a login of this account, and notes that its owner has revoked it. A login of another account is unknown here.
pub(crate) async fn revoke(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    stamp: Stamp,
) -> Result<Revocation, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let revocation = end(&mut transaction, user, login, stamp.at).await?;
    if revocation == Revocation::Done {
        let revoked = LoginRevoked { logins: vec![login], by: RevokedBy::Owner };
        audit::note(&mut transaction, stamp, Audited::LoginRevoked(user.into(), revoked)).await?;
    }
    transaction.commit().await?;
    Ok(revocation)
}

/// Ends a login of this account that is logged out. That is no audit event: anybody can log in and out without end, and
/// the stream of audit events keeps every event for ever.
pub(crate) async fn log_out(
    pool: &PgPool,
    user: UserId,
    login: LoginId,
    now: Time,
) -> Result<Revocation, sqlx::Error> {
    end(&mut *pool.acquire().await?, user, login, now).await
}

async fn end(
    connection: &mut PgConnection,
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
    .fetch_optional(connection)
    .await?;
    Ok(match was_alive {
        Some(true) => Revocation::Done,
        Some(false) => Revocation::Already,
        None => Revocation::Unknown,
    })
}

/// The logins that were revoked within the last `age`, reckoned from the earlier one of our clock and the
/// clock of the database. Our clock alone may be far ahead, and would then leave out logins whose tokens are
/// still valid.
pub(crate) async fn revoked_since(
    pool: &PgPool,
    now: Time,
    age: Duration,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select id from auth.login where revoked_at > least($1, now()) - make_interval(secs => $2)
         union all
         select login_id from auth.direct_login where revoked_at > least($1, now()) - make_interval(secs => $2)",
    )
    .bind(now.datetime())
    .bind(age.as_secs_f64())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(LoginId::known).collect())
}

/// Ends all logins of all accounts that began before a time, and returns the ended logins.
pub(crate) async fn revoke_begun_before(
    pool: &PgPool,
    time: Time,
    clock: &Clock,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let ended: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "update auth.login set revoked_at = $2 where created_at < $1 and revoked_at is null and expires_at > $2
         returning account_id, id",
    )
    .bind(time.datetime())
    .bind(clock.now().datetime())
    .fetch_all(&mut *transaction)
    .await?;
    let mut of_accounts = BTreeMap::<Uuid, Vec<LoginId>>::new();
    for (account, login) in &ended {
        of_accounts.entry(*account).or_default().push(LoginId::known(*login));
    }
    let revoked = |(account, logins): (Uuid, Vec<LoginId>)| {
        let revoked = LoginRevoked { logins, by: RevokedBy::Operator };
        (Stamp::now(clock, By::default()), Audited::LoginRevoked(account.into(), revoked))
    };
    let events: Vec<_> = of_accounts.into_iter().map(revoked).collect();
    for some in events.chunks(AT_ONCE) {
        audit::note_all(&mut transaction, some).await?;
    }
    transaction.commit().await?;
    Ok(ended.into_iter().map(|(_, login)| LoginId::known(login)).collect())
}

/// Whether the account still has the hash that was checked. The row of the account is locked until the end of
/// the transaction: without the lock, a login could begin with the old password right behind a change of the
/// password.
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
    .bind(login.token_hash)
    .bind(login.salt)
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

async fn end_all_but(
    transaction: &mut Transaction<'_, Postgres>,
    user: UserId,
    kept: LoginId,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $3
         where account_id = $1 and id <> $2 and revoked_at is null and expires_at > $3
         returning id",
    )
    .bind(user.uuid())
    .bind(kept.uuid())
    .bind(now.datetime())
    .fetch_all(&mut **transaction)
    .await?;
    Ok(ended.into_iter().map(LoginId::known).collect())
}

/// Ends all logins of an account, and returns them.
pub(super) async fn end_all(
    connection: &mut PgConnection,
    user: UserId,
    now: Time,
) -> Result<Vec<LoginId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $2
         where account_id = $1 and revoked_at is null and expires_at > $2
         returning id",
    )
    .bind(user.uuid())
    .bind(now.datetime())
    .fetch_all(connection)
    .await?;
    Ok(ended.into_iter().map(LoginId::known).collect())
}
