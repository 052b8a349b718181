//! The refresh tokens of a login: the generation of the latest token, and the recently spent tokens.

use std::time::Duration;

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    credentials::Terms,
    domain::{Audited, LoginId, LoginRevoked, RevokedBy, Time, UserId},
};

/// The grace period of a spent token. Within this time, a request with the token gets the latest pair again, because
/// the first answer may have been lost.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The lifetime of a login without a refresh.
pub(crate) const IDLE_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// The maximum lifetime of a login.
pub(crate) const WHOLE_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The stored state of the refresh tokens of a login.
#[derive(Clone)]
pub(crate) struct Family {
    /// The account.
    pub user: UserId,
    /// The terms of the access tokens.
    pub terms: Terms,
    /// The number of spent tokens.
    pub generation: i32,
    /// The hash of the latest token.
    pub token_hash: Vec<u8>,
    /// The salt of all tokens.
    pub salt: Vec<u8>,
    /// The time at which the latest token was created.
    pub rotated_at: Time,
    /// The time of the login, or of the last refresh.
    pub last_used_at: Time,
    /// The time at which the login ends at the latest.
    pub expires_at: Time,
    /// The time at which the login was revoked.
    pub revoked_at: Option<Time>,
    /// Whether the presented token was spent within its grace period, by the clock of Postgres: the clocks of two nodes
    /// may differ by more than the period.
    pub is_just_spent: bool,
}

#[derive(FromRow)]
struct Row {
    account_id: Uuid,
    via: Option<Uuid>,
    life_s: Option<i32>,
    generation: i32,
    token_hash: Vec<u8>,
    salt: Vec<u8>,
    rotated_at: OffsetDateTime,
    last_used_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
    is_just_spent: bool,
}

impl From<Row> for Family {
    fn from(row: Row) -> Self {
        Self {
            user: UserId::known(row.account_id),
            terms: Terms::stored(row.via.map(UserId::known), row.life_s),
            generation: row.generation,
            token_hash: row.token_hash,
            salt: row.salt,
            rotated_at: Time::of(row.rotated_at),
            last_used_at: Time::of(row.last_used_at),
            expires_at: Time::of(row.expires_at),
            revoked_at: row.revoked_at.map(Time::of),
            is_just_spent: row.is_just_spent,
        }
    }
}

/// The family of a login, for a token of the generation `presented`.
pub(crate) async fn family(
    pool: &PgPool,
    login: LoginId,
    presented: i32,
) -> Result<Option<Family>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "select account_id, via, life_s, generation, token_hash, salt, rotated_at, last_used_at, expires_at, revoked_at,
                exists (select from auth.spent_refresh s
                        where s.login_id = login.id and s.generation = $2 and s.spent_at >= now() - make_interval(secs => $3)) as is_just_spent
         from auth.login where id = $1",
    )
    .bind(login.uuid())
    .bind(presented)
    .bind(GRACE.as_secs_f64())
    .fetch_optional(pool)
    .await?;
    Ok(row.map(Family::from))
}

/// Replaces the token of the generation `spent` with the next token, given as its generation and its hash. `false` if
/// another request replaced the token first, or if the login is revoked.
pub(crate) async fn rotate(
    pool: &PgPool,
    login: LoginId,
    spent: i32,
    (generation, token_hash): (i32, &[u8]),
    now: Time,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query(
        "with rotated as (
             update auth.login set generation = $3, token_hash = $4, rotated_at = $5, last_used_at = $5
             where id = $1 and generation = $2 and revoked_at is null returning id
         ), forgotten as (
             delete from auth.spent_refresh where login_id = $1 and spent_at < now() - make_interval(secs => $6)
         )
         insert into auth.spent_refresh (login_id, generation, spent_at)
         select id, $2, now() from rotated",
    )
    .bind(login.uuid())
    .bind(spent)
    .bind(generation)
    .bind(token_hash)
    .bind(now.datetime())
    .bind(GRACE.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Ends a login of any account because a spent token was used again. `false` if the login was already revoked or does
/// not exist.
pub(crate) async fn end(pool: &PgPool, login: LoginId, stamp: Stamp) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let account: Option<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $2 where id = $1 and revoked_at is null returning account_id",
    )
    .bind(login.uuid())
    .bind(stamp.at.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(account) = account else { return Ok(false) };
    let revoked = LoginRevoked { logins: vec![login], by: RevokedBy::Reuse };
    audit::note(&mut transaction, stamp, Audited::LoginRevoked(account.into(), revoked)).await?;
    transaction.commit().await?;
    Ok(true)
}
