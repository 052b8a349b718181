//! The keys that sign our tokens: from the files of the settings, or from the database. They change while nodes serve.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    accounts::{self, SharedKeyError},
    app::{Addresses, AppError, database, is_migrated},
    clock::Clock,
    config::Settings,
    credentials::{Keys, Ring, Tokens},
    domain::Time,
};

/// The time between two looks at the keys of the database and at the time. It is short beside the minutes for which a key is
/// published before it signs, so all nodes know a key by then.
const LOOK: Duration = Duration::from_secs(5);

/// The keys of a process, as it knows them.
pub(super) struct SigningKeys {
    ring: Ring,
    /// Whether the keys are in files, and therefore change with a restart only.
    is_given: bool,
}

impl SigningKeys {
    /// Reads the keys, and notes that those of files are published.
    pub(super) async fn read(settings: &Settings, pool: &PgPool, now: Time) -> Result<Self, AppError> {
        let Some(given) = settings.signing_keys()? else {
            tracing::info!(
                "the signing key is in the database; set VERBATIM_SIGNING_KEY_FILE to keep it elsewhere"
            );
            let ring = accounts::shared_keys(pool, now).await.map_err(unusable)?;
            return Ok(Self { ring, is_given: false });
        };
        let all = [given.previous.as_ref(), Some(&given.current), given.next.as_ref()];
        let ids: Vec<&str> = all.into_iter().flatten().flat_map(Keys::ids).collect();
        let published = accounts::note_published(pool, &ids, now).await?;
        let current = given.current.ids().next().and_then(|id| published.get(id));
        Ok(Self { ring: Ring::given(given, current.copied().unwrap_or(now)), is_given: true })
    }

    /// The keys as they count now.
    pub(super) fn at(&self, now: Time) -> Keys {
        self.ring.at(now)
    }

    /// Gives the tokens their keys, for as long as the process lives. While the database does not answer, the known keys go
    /// on, and sign in turn.
    pub(super) async fn keep_current(mut self, pool: PgPool, tokens: Arc<Tokens>, clock: Clock) {
        loop {
            sleep(LOOK).await;
            if !self.is_given {
                match accounts::shared_keys(&pool, clock.now()).await {
                    Ok(ring) => self.ring = ring,
                    Err(error) => tracing::debug!(%error, "could not read the signing keys; retrying"),
                }
            }
            let keys = self.at(clock.now());
            let signs = keys.ids().next().unwrap_or_default().to_owned();
            if tokens.replace_keys(keys) {
                tracing::info!(signs, "the signing keys have changed");
            }
        }
    }
}

fn unusable(error: SharedKeyError) -> AppError {
    match error {
        SharedKeyError::Database(error) => error.into(),
        SharedKeyError::Key(bad) => AppError::Key(bad.to_string()),
    }
}

/// Publishes a new key in the database, which signs later, and returns all keys as they are now. `at_once`: the key takes the
/// place of all others, and all tokens and logins end.
pub(crate) async fn rotate_signing_key(
    addresses: &Addresses,
    at_once: bool,
) -> Result<Vec<(String, String)>, AppError> {
    let pool = open(addresses).await?;
    let (made, now) = (Keys::generate_pem(), Clock::system().now());
    if at_once {
        accounts::replace_keys(&pool, &made).await?;
    } else if !accounts::publish_key(&pool, &made, now).await.map_err(unusable)? {
        return Err(AppError::Refused("a new key is already published: wait until it signs".into()));
    }
    described(&pool, now).await
}

/// The keys in the database, and what each is for.
pub(crate) async fn list_signing_keys(addresses: &Addresses) -> Result<Vec<(String, String)>, AppError> {
    described(&open(addresses).await?, Clock::system().now()).await
}

async fn described(pool: &PgPool, now: Time) -> Result<Vec<(String, String)>, AppError> {
    let ring = accounts::shared_keys(pool, now).await.map_err(unusable)?;
    Ok(ring.described(now))
}

async fn open(addresses: &Addresses) -> Result<PgPool, AppError> {
    let pool = database(&addresses.database, 1).await?;
    is_migrated(&pool).await?;
    Ok(pool)
}
