//! The signing keys of an installation, which are created once and are the same for all nodes, and the time at which
//! each was published.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::{
    credentials::{BadKey, Keys, Ring},
    domain::Time,
};

/// Why the keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A stored value is not a key.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// The first key in the database; the first call creates it. Every reader of the database can sign tokens with this
/// key, so an installation in production keeps its key in a file.
pub async fn shared_key(pool: &PgPool) -> Result<Keys, SharedKeyError> {
    Ok(Keys::from_pem(&first_key(pool).await?, None)?)
}

async fn first_key(pool: &PgPool) -> Result<String, sqlx::Error> {
    let made = Keys::generate_pem();
    sqlx::query("insert into auth.signing_key (pem) values ($1) on conflict do nothing")
        .bind(made.as_str())
        .execute(pool)
        .await?;
    sqlx::query_scalar("select pem from auth.signing_key").fetch_one(pool).await
}

async fn later_keys(connection: &mut PgConnection) -> Result<Vec<(String, Time)>, sqlx::Error> {
    let later: Vec<(String, OffsetDateTime)> =
        sqlx::query_as("select pem, published_at from auth.published_key where pem is not null")
            .fetch_all(connection)
            .await?;
    Ok(later.into_iter().map(|(pem, at)| (pem, Time::of(at))).collect())
}

/// All keys in the database.
pub(crate) async fn shared_keys(pool: &PgPool, now: Time) -> Result<Ring, SharedKeyError> {
    let first = first_key(pool).await?;
    let later = later_keys(&mut *pool.acquire().await?).await?;
    Ok(Ring::stored(&first, &later, now)?)
}

/// Records that keys from files are published, and returns when each was first published.
pub(crate) async fn note_published(
    pool: &PgPool,
    ids: &[&str],
    now: Time,
) -> Result<BTreeMap<String, Time>, sqlx::Error> {
    sqlx::query(
        "insert into auth.published_key (kid, published_at) select id, $2 from unnest($1) id
         on conflict (kid) do nothing",
    )
    .bind(ids)
    .bind(now.datetime())
    .execute(pool)
    .await?;
    let all: Vec<(String, OffsetDateTime)> =
        sqlx::query_as("select kid, published_at from auth.published_key where kid = any($1)")
            .bind(ids)
            .fetch_all(pool)
            .await?;
    Ok(all.into_iter().map(|(id, at)| (id, Time::of(at))).collect())
}

/// Publishes a new key, which signs later. `false` if there already is a published key that has not signed yet.
pub(crate) async fn publish_key(pool: &PgPool, pem: &str, now: Time) -> Result<bool, SharedKeyError> {
    let keys = Keys::from_pem(pem, None)?;
    first_key(pool).await?;
    let mut transaction = pool.begin().await?;
    // With the lock, the second of two concurrent commands sees the key of the first.
    sqlx::query("lock table auth.published_key in share row exclusive mode")
        .execute(&mut *transaction)
        .await?;
    let first: String =
        sqlx::query_scalar("select pem from auth.signing_key").fetch_one(&mut *transaction).await?;
    let later = later_keys(&mut transaction).await?;
    if Ring::stored(&first, &later, now)?.has_next(now) {
        return Ok(false);
    }
    sqlx::query("insert into auth.published_key (kid, pem, published_at) values ($1, $2, $3)")
        .bind(keys.ids().next())
        .bind(pem)
        .bind(now.datetime())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Replaces all keys with a new one. This invalidates every token that Verbatim signed.
pub(crate) async fn replace_keys(pool: &PgPool, pem: &str) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("delete from auth.published_key where pem is not null").execute(&mut *transaction).await?;
    sqlx::query(
        "insert into auth.signing_key (pem) values ($1) on conflict (id) do update set pem = excluded.pem",
    )
    .bind(pem)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
