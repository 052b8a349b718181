//! Creates, replaces and revokes the API keys of service accounts.

use sqlx::{FromRow, PgConnection, PgPool, error::DatabaseError};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    credentials::{KeyId, Scopes},
    domain::{Audited, KeyCreated, KeyRevoked, KeyRotated, LoginId, Time, UserId},
};

/// The maximum number of active keys of a service account.
pub(crate) const MAX_KEYS: i64 = 10;

/// A key to store.
#[derive(Debug)]
pub(crate) struct NewKey {
    /// The id of the key.
    pub id: LoginId,
    /// The public part.
    pub public: KeyId,
    /// The hash of the whole key.
    pub hash: [u8; 32],
    /// The name of the key, for people.
    pub name: String,
    /// The scopes of the key.
    pub scopes: Scopes,
    /// The networks from which it may be used, as texts; empty for all.
    pub addresses: Vec<String>,
    /// The time at which the key expires.
    pub expires_at: Option<Time>,
}

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedKey {
    /// The id of the key.
    pub id: LoginId,
    /// The public part.
    pub public: KeyId,
    /// The name of the key, for people.
    pub name: String,
    /// The scopes of the key.
    pub scopes: Scopes,
    /// The networks from which it may be used, as texts.
    pub addresses: Vec<String>,
    /// The time at which the key was created.
    pub created_at: Time,
    /// The time at which the key expires.
    pub expires_at: Option<Time>,
    /// The time at which the key would expire if it had not been replaced.
    pub unreplaced_expires_at: Option<Time>,
    /// The time of its last use, to the minute.
    pub last_used_at: Option<Time>,
    /// The address of that use.
    pub last_used_address: Option<String>,
}

/// Why a key was not created or replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// There is no such service account, or it has no such active key.
    #[error("there is nothing here by this id")]
    NotFound,
    /// The service account already has [`MAX_KEYS`] active keys.
    #[error("the service account has {MAX_KEYS} keys: revoke a key first")]
    TooMany,
    /// The key represents a NATS name, which cannot be replaced by a key with a text.
    #[error("the key stands for a NATS name")]
    OfName,
    /// Another key has the id: the NATS name is already bound.
    #[error("the NATS name is bound already: revoke its key first")]
    Taken,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    public_id: String,
    name: String,
    scopes: Vec<String>,
    addresses: Vec<String>,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    unreplaced_expires_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
    last_used_address: Option<String>,
}

impl From<Row> for ListedKey {
    fn from(row: Row) -> Self {
        Self {
            id: LoginId::known(row.id),
            public: KeyId::known(&row.public_id).expect("a stored id was made as one"),
            name: row.name,
            scopes: Scopes::known(&row.scopes),
            addresses: row.addresses,
            created_at: Time::of(row.created_at),
            expires_at: row.expires_at.map(Time::of),
            unreplaced_expires_at: row.unreplaced_expires_at.map(Time::of),
            last_used_at: row.last_used_at.map(Time::of),
            last_used_address: row.last_used_address,
        }
    }
}

/// The active keys: not revoked, and not expired at `$2`.
macro_rules! live_keys {
    () => {
        "select id, public_id, name, scopes, addresses, created_at, expires_at, last_used_at, last_used_address,
                nullif(coalesce(unreplaced_expires_at, expires_at), 'infinity') as unreplaced_expires_at
         from auth.api_key
         where account_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)"
    };
}

/// Stores a new key.
pub(crate) async fn add(pool: &PgPool, account: UserId, key: &NewKey, stamp: Stamp) -> Result<(), KeyError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, account).await?;
    free(&mut transaction, key.public).await?;
    insert(&mut transaction, account, key, stamp.at).await?;
    let created = KeyCreated {
        account_id: account,
        scopes: key.scopes.words(),
        expires_at: key.expires_at,
        is_limited_to_networks: !key.addresses.is_empty(),
    };
    audit::note(&mut transaction, stamp, Audited::KeyCreated(key.id.into(), created)).await?;
    Ok(transaction.commit().await?)
}

/// The active keys of a service account, the latest first.
pub(crate) async fn list(pool: &PgPool, account: UserId, now: Time) -> Result<Vec<ListedKey>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(concat!(live_keys!(), " order by created_at desc, id desc"))
        .bind(account.uuid())
        .bind(now.datetime())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(ListedKey::from).collect())
}

/// Stores the key that `successor` makes from an active key, which then expires at `until` at the latest. Returns the
/// new key and the time at which the old one expires.
pub(crate) async fn rotate(
    pool: &PgPool,
    account: UserId,
    old: LoginId,
    until: Time,
    successor: impl FnOnce(ListedKey) -> Result<NewKey, KeyError>,
    stamp: Stamp,
) -> Result<(NewKey, Time), KeyError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, account).await?;
    let row: Option<Row> = sqlx::query_as(concat!(live_keys!(), " and id = $3"))
        .bind(account.uuid())
        .bind(stamp.at.datetime())
        .bind(old.uuid())
        .fetch_optional(&mut *transaction)
        .await?;
    let replaced = ListedKey::from(row.ok_or(KeyError::NotFound)?);
    let until = replaced.expires_at.map_or(until, |end| end.min(until));
    sqlx::query(
        "update auth.api_key
         set expires_at = $2, unreplaced_expires_at = coalesce(unreplaced_expires_at, expires_at, 'infinity')
         where id = $1",
    )
    .bind(old.uuid())
    .bind(until.datetime())
    .execute(&mut *transaction)
    .await?;
    let new = successor(replaced)?;
    insert(&mut transaction, account, &new, stamp.at).await?;
    let rotated = KeyRotated { account_id: account, new_key_id: new.id.uuid(), expires_at: until };
    audit::note(&mut transaction, stamp, Audited::KeyRotated(old.into(), rotated)).await?;
    transaction.commit().await?;
    Ok((new, until))
}

/// Revokes a key; `false` if the service account has no such key. A key that was revoked before does not change.
pub(crate) async fn revoke(
    pool: &PgPool,
    account: UserId,
    key: LoginId,
    stamp: Stamp,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let was_alive: Option<bool> = sqlx::query_scalar(
        "with known as (
             select id, revoked_at from auth.api_key where id = $1 and account_id = $2 for update
         ), ended as (
             update auth.api_key set revoked_at = $3
             from known where api_key.id = known.id and known.revoked_at is null
         )
         select revoked_at is null from known",
    )
    .bind(key.uuid())
    .bind(account.uuid())
    .bind(stamp.at.datetime())
    .fetch_optional(&mut *transaction)
    .await?;
    if was_alive == Some(true) {
        let revoked = Audited::KeyRevoked(key.into(), KeyRevoked { account_id: account });
        audit::note(&mut transaction, stamp, revoked).await?;
    }
    transaction.commit().await?;
    Ok(was_alive.is_some())
}

/// Locks a service account, so that its keys are created one after the other. Without the lock, two concurrent
/// transactions would not count each other's key, and there could be too many.
async fn lock(transaction: &mut PgConnection, account: UserId) -> Result<(), KeyError> {
    let found = sqlx::query("select 1 from auth.service_account where id = $1 for no key update")
        .bind(account.uuid())
        .fetch_optional(transaction)
        .await?;
    found.map(drop).ok_or(KeyError::NotFound)
}

/// Frees the id of a revoked key, because a NATS name has the same id each time it is bound. A random id never occurs
/// again.
async fn free(transaction: &mut PgConnection, public: KeyId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.api_key set public_id = id::text where public_id = $1 and revoked_at is not null",
    )
    .bind(public.as_str())
    .execute(transaction)
    .await?;
    Ok(())
}

async fn insert(
    transaction: &mut PgConnection,
    account: UserId,
    key: &NewKey,
    now: Time,
) -> Result<(), KeyError> {
    sqlx::query(
        "insert into auth.api_key
             (id, account_id, public_id, hash, name, scopes, addresses, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(key.id.uuid())
    .bind(account.uuid())
    .bind(key.public.as_str())
    .bind(&key.hash[..])
    .bind(&key.name)
    .bind(key.scopes.words())
    .bind(&key.addresses)
    .bind(now.datetime())
    .bind(key.expires_at.map(Time::datetime))
    .execute(&mut *transaction)
    .await
    .map_err(|error| {
        match error.as_database_error().is_some_and(DatabaseError::is_unique_violation) {
            true => KeyError::Taken,
            false => error.into(),
        }
    })?;
    let alive: i64 = sqlx::query_scalar(
        "select count(*) from auth.api_key
         where account_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)",
    )
    .bind(account.uuid())
    .bind(now.datetime())
    .fetch_one(transaction)
    .await?;
    if alive > MAX_KEYS { Err(KeyError::TooMany) } else { Ok(()) }
}
