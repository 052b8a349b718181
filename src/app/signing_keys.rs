//! The keys that sign our tokens: from the files of the settings, or from the database.

use sqlx::PgPool;

use crate::{accounts, app::AppError, config::Settings, credentials::Keys};

/// Reads the keys.
pub(super) async fn read(settings: &Settings, pool: &PgPool) -> Result<Keys, AppError> {
    match settings.signing_keys()? {
        Some(keys) => Ok(keys),
        None => {
            tracing::info!(
                "the signing key is kept in the database; VERBATIM_SIGNING_KEY_FILE keeps it elsewhere"
            );
            accounts::shared_key(pool).await.map_err(|e| match e {
                accounts::SharedKeyError::Database(e) => e.into(),
                accounts::SharedKeyError::Key(e) => AppError::Key(e.to_string()),
            })
        }
    }
}
