//! The signing key of an installation without a key file: made once, and the same for all nodes.

use sqlx::PgPool;

use crate::credentials::{BadKey, Keys};

/// Why the key cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The stored value is not a key.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// The key in the database; the first call makes the key. Every reader of the database can sign tokens with
/// this key, so an installation in production keeps its key in a file.
pub async fn shared_key(pool: &PgPool) -> Result<Keys, SharedKeyError> {
    let made = Keys::generate_pem();
    sqlx::query("insert into auth.signing_key (pem) values ($1) on conflict do nothing")
        .bind(made.as_str())
        .execute(pool)
        .await?;
    let pem: String = sqlx::query_scalar("select pem from auth.signing_key").fetch_one(pool).await?;
    Ok(Keys::from_pem(&pem, None)?)
}
