//! The consumers of the log, and their credentials that are due for revocation.

use std::time::Duration;

use sqlx::{Connection as _, FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    domain::{Audited, ConsumerAdded, ConsumerRemoved, ConsumerReplayed, ConsumerRotated, Time},
};

/// A consumer as stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct StoredConsumer {
    /// The name, which its durables share.
    pub name: String,
    /// The id that audit events use.
    pub id: Uuid,
    /// The lanes that it reads.
    pub lanes: Vec<String>,
    /// The conversations that it reads; none for all.
    pub conversations: Vec<Uuid>,
    /// The types of events that its program asked for; none for all.
    pub types: Vec<String>,
    /// Whether it reads audit events.
    pub reads_audit: bool,
    /// Whether it may send commands.
    pub gives_commands: bool,
    /// Whether only one of its processes reads at a time.
    pub is_exclusive: bool,
    /// The public key of its credentials; `None` if it logs in with a password from nats-server's
    /// configuration.
    pub user_key: Option<String>,
    /// The time at which it was added.
    pub created_at: OffsetDateTime,
    /// The time at which its credentials expire.
    pub expires_at: Option<OffsetDateTime>,
    /// The lifetime of its credentials in seconds. An older version did not store it.
    pub life_s: Option<i64>,
}

impl StoredConsumer {
    /// The lifetime that new credentials get; `None` if they are valid until they are revoked.
    pub(crate) fn life(&self) -> Option<Duration> {
        let end = self.expires_at?;
        let known = self.life_s.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        Some(known.unwrap_or_else(|| Time::of(end).since(Time::of(self.created_at))))
    }
}

/// Credentials that are due for revocation.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct OverdueRevocation {
    /// The public key.
    pub user_key: String,
    /// The consumer that used them.
    pub name: String,
    /// When they should have stopped working.
    pub due_at: OffsetDateTime,
}

const COLUMNS: &str = "name, id, lanes, conversations, types, reads_audit, gives_commands, is_exclusive, user_key, \
                       created_at, expires_at, life_s";

/// A lifetime as it is stored.
pub(crate) fn in_seconds(life: Duration) -> i64 {
    life.as_secs().cast_signed()
}

/// The consumer of this name.
pub(crate) async fn find(pool: &PgPool, name: &str) -> Result<Option<StoredConsumer>, sqlx::Error> {
    let sql = format!("select {COLUMNS} from auth.consumer where name = $1");
    sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name).fetch_optional(pool).await
}

/// The consumers after a name, in the order of their names.
pub(crate) async fn all(
    pool: &PgPool,
    behind: Option<&str>,
    limit: i64,
) -> Result<Vec<StoredConsumer>, sqlx::Error> {
    let sql =
        format!("select {COLUMNS} from auth.consumer where name > coalesce($1, '') order by name limit $2");
    sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(behind).bind(limit).fetch_all(pool).await
}

/// Adds a consumer; `false` if there is one with this name.
pub(crate) async fn add(pool: &PgPool, new: &StoredConsumer, stamp: Stamp) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let added = sqlx::query(
        "insert into auth.consumer (name, id, lanes, conversations, types, reads_audit, gives_commands, is_exclusive,
                                    user_key, created_at, expires_at, life_s)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (name) do nothing",
    )
    .bind(&new.name)
    .bind(new.id)
    .bind(&new.lanes)
    .bind(&new.conversations)
    .bind(&new.types)
    .bind(new.reads_audit)
    .bind(new.gives_commands)
    .bind(new.is_exclusive)
    .bind(&new.user_key)
    .bind(new.created_at)
    .bind(new.expires_at)
    .bind(new.life_s)
    .execute(&mut *transaction)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    let conversations = u32::try_from(new.conversations.len()).ok().filter(|many| *many > 0);
    let what = ConsumerAdded {
        lanes: new.lanes.clone(),
        conversations,
        reads_audit: new.reads_audit,
        gives_commands: new.gives_commands,
        expires_at: new.expires_at.map(Time::of),
    };
    audit::note(&mut transaction, stamp, Audited::ConsumerAdded(new.id.into(), what)).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Gives a consumer a new key, and schedules the revocation of the old one; `false` if another process was
/// faster.
pub(crate) async fn rotate(
    pool: &PgPool,
    old: &StoredConsumer,
    (user_key, expires_at): (&str, Option<Time>),
    due: Time,
    stamp: Stamp,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let changed = sqlx::query(
        "update auth.consumer set user_key = $3, expires_at = $4, life_s = $5 where name = $1 and user_key = $2",
    )
    .bind(&old.name)
    .bind(&old.user_key)
    .bind(user_key)
    .bind(expires_at.map(Time::datetime))
    .bind(old.life().map(in_seconds))
    .execute(&mut *transaction)
    .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    revoke(&mut transaction, old.user_key.as_deref(), &old.name, due).await?;
    let what = ConsumerRotated { old_expires_at: due };
    audit::note(&mut transaction, stamp, Audited::ConsumerRotated(old.id.into(), what)).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Removes a consumer. Its credentials are due for revocation now.
pub(crate) async fn remove(pool: &PgPool, old: &StoredConsumer, stamp: Stamp) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // This reads the current key, because another process may have replaced the key in `old`.
    let gone: Option<Option<String>> =
        sqlx::query_scalar("delete from auth.consumer where id = $1 returning user_key")
            .bind(old.id)
            .fetch_optional(&mut *transaction)
            .await?;
    if let Some(user_key) = gone {
        revoke(&mut transaction, user_key.as_deref(), &old.name, stamp.at).await?;
        // The overlap of an earlier rotation ends now.
        sqlx::query("update auth.consumer_revocation set due_at = least(due_at, $2) where name = $1")
            .bind(&old.name)
            .bind(stamp.at.datetime())
            .execute(&mut *transaction)
            .await?;
        audit::note(&mut transaction, stamp, Audited::ConsumerRemoved(old.id.into(), ConsumerRemoved {}))
            .await?;
    }
    transaction.commit().await
}

/// Records in the audit trail that events were delivered to a consumer again.
pub(crate) async fn note_replay(
    pool: &PgPool,
    of: &StoredConsumer,
    parked: Option<u32>,
    stamp: Stamp,
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    audit::note(&mut connection, stamp, Audited::ConsumerReplayed(of.id.into(), ConsumerReplayed { parked }))
        .await
}

/// Schedules the revocation of a key, if there is one.
async fn revoke(
    transaction: &mut PgConnection,
    user_key: Option<&str>,
    name: &str,
    due: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into auth.consumer_revocation (user_key, name, due_at)
         select $1::text, $2::text, $3::timestamptz where $1::text is not null
         on conflict (user_key) do update set due_at = least(consumer_revocation.due_at, excluded.due_at)",
    )
    .bind(user_key)
    .bind(name)
    .bind(due.datetime())
    .execute(transaction)
    .await?;
    Ok(())
}

/// The credentials whose revocation is due.
pub(crate) async fn overdue(pool: &PgPool, now: Time) -> Result<Vec<OverdueRevocation>, sqlx::Error> {
    sqlx::query_as(
        "select user_key, name, due_at from auth.consumer_revocation where due_at <= $1 order by due_at limit 1000",
    )
    .bind(now.datetime())
    .fetch_all(pool)
    .await
}

/// Whether a consumer with this name has credentials that still await revocation.
pub(crate) async fn is_to_be_revoked(pool: &PgPool, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from auth.consumer_revocation where name = $1)")
        .bind(name)
        .fetch_one(pool)
        .await
}

/// Deletes revocations that the servers have applied.
pub(crate) async fn revoked(pool: &PgPool, keys: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query("delete from auth.consumer_revocation where user_key = any($1)")
        .bind(keys)
        .execute(pool)
        .await?;
    Ok(())
}

/// The Postgres lock that lets one command at a time revoke credentials.
const TURN: i64 = 0x5645_5242_434f_4e53;

/// Waits for the lock to revoke credentials. The lock belongs to the session of this connection.
pub(crate) async fn take_turn(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_lock($1)").bind(TURN).execute(connection).await.map(drop)
}

/// Releases the lock by closing its connection.
pub(crate) async fn end_turn(connection: PgConnection) -> Result<(), sqlx::Error> {
    connection.close().await
}
