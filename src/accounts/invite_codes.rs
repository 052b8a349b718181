//! Invitation codes: operators create them, and people register with them while registration is by invitation.

use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    credentials::OneTimeHash,
    domain::{Audited, InviteCreated, InviteRevoked, Time},
};

/// The maximum number of stored codes. Codes that ended more than 30 days ago are deleted.
pub(crate) const MAX_CODES: i64 = 10_000;

/// An invitation code, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InviteCode {
    /// The id of the code.
    pub id: Uuid,
    /// The number of accounts that can be registered with it.
    pub uses: i32,
    /// The number of accounts that have been registered with it.
    pub used: i32,
    /// The time at which the code was created.
    pub created_at: Time,
    /// The time at which the code expires.
    pub expires_at: Time,
    /// The time at which an operator revoked the code.
    pub revoked_at: Option<Time>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    uses: i32,
    used: i32,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
}

impl From<Row> for InviteCode {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            uses: row.uses,
            used: row.used,
            created_at: Time::of(row.created_at),
            expires_at: Time::of(row.expires_at),
            revoked_at: row.revoked_at.map(Time::of),
        }
    }
}

/// Stores a new code; `false` if there are too many.
pub(crate) async fn add(
    pool: &PgPool,
    code: &InviteCode,
    hash: &OneTimeHash,
    stamp: Stamp,
) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    sqlx::query("delete from auth.invite_code where least(expires_at, revoked_at) < $1 - interval '30 days'")
        .bind(stamp.at.datetime())
        .execute(&mut *transaction)
        .await?;
    let made = sqlx::query(
        "insert into auth.invite_code (id, code_hash, uses, created_at, expires_at)
         select $1, $2, $3, $4, $5 where (select count(*) from auth.invite_code) < $6",
    )
    .bind(code.id)
    .bind(&hash[..])
    .bind(code.uses)
    .bind(code.created_at.datetime())
    .bind(code.expires_at.datetime())
    .bind(MAX_CODES)
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    let created = InviteCreated { uses: code.uses.unsigned_abs(), expires_at: code.expires_at };
    audit::note(&mut transaction, stamp, Audited::InviteCreated(code.id.into(), created)).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The latest codes, from after the code `after`.
pub(crate) async fn list(pool: &PgPool, after: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<InviteCode>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, uses, used, created_at, expires_at, revoked_at from auth.invite_code
         where $1::uuid is null or id < $1 order by id desc limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(InviteCode::from).collect())
}

/// Revokes a code. `false` if there is no such code; a code that was revoked before does not change.
pub(crate) async fn revoke(pool: &PgPool, id: Uuid, stamp: Stamp) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    let was_alive: Option<bool> = sqlx::query_scalar(
        "with known as (select id, revoked_at from auth.invite_code where id = $1 for update),
              ended as (update auth.invite_code code set revoked_at = $2
                        from known where code.id = known.id and known.revoked_at is null)
         select revoked_at is null from known",
    )
    .bind(id)
    .bind(stamp.at.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    if was_alive == Some(true) {
        audit::note(&mut transaction, stamp, Audited::InviteRevoked(id.into(), InviteRevoked {})).await?;
    }
    transaction.commit().await?;
    Ok(was_alive.is_some())
}

/// Whether a code can be used to register now.
pub(crate) async fn is_good(pool: &PgPool, hash: &OneTimeHash, now: Time) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from auth.invite_code
                        where code_hash = $1 and used < uses and expires_at > $2 and revoked_at is null)",
    )
    .bind(&hash[..])
    .bind(now.datetime())
    .fetch_one(pool)
    .await
}

/// Uses a code once, and returns its id; `None` if the code is not valid. Concurrent registrations cannot exceed the
/// uses of the code, because its row is locked until the end of the transaction.
pub(super) async fn take(
    transaction: &mut PgConnection,
    hash: &OneTimeHash,
    now: Time,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "update auth.invite_code set used = used + 1
         where code_hash = $1 and used < uses and expires_at > $2 and revoked_at is null
         returning id",
    )
    .bind(&hash[..])
    .bind(now.datetime())
    .fetch_optional(transaction)
    .await
}
