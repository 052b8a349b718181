//! The signing key of an installation that was not given one: made once, the same for all nodes.

use sqlx::PgPool;

use crate::credentials::{BadKey, Keys};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SharedKeyError {
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The stored value is not a key.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// The key in the database; it is made if there is none. Whoever reads the database can sign
/// tokens with it, so a real installation keeps its key in a file.
pub async fn shared_key(pool: &PgPool) -> Result<Keys, SharedKeyError> {
    let made = Keys::generate_pem();
    sqlx::query("insert into auth.signing_key (pem) values ($1) on conflict do nothing")
        .bind(made.as_str())
        .execute(pool)
        .await?;
    let pem: String = sqlx::query_scalar("select pem from auth.signing_key").fetch_one(pool).await?;
    Ok(Keys::from_pem(&pem, None)?)
}
