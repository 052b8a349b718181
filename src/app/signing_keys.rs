//! The keys that sign access tokens, from the files in the settings or from the database. They can change while nodes
//! serve.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    accounts::{self, SharedKeyError},
    app::{Addresses, AppError, database, is_migrated},
    clock::Clock,
    config::Settings,
    credentials::{Keys, NewKeys, Ring, Tokens},
    domain::Time,
    live::{HeardSignals, Told},
};

/// The interval at which the keys in the database and the clock are checked. A key is published for minutes before it
/// signs, so all nodes know it by then.
const LOOK: Duration = Duration::from_secs(5);

/// The keys that a process knows.
pub(super) struct SigningKeys {
    ring: Ring,
    /// Whether the keys are in files, and therefore change only with a restart.
    is_given: bool,
}

impl SigningKeys {
    /// Reads the keys, and records in the database that keys from files are published.
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

    /// The keys that are in use at a time.
    pub(super) fn at(&self, now: Time) -> Keys {
        self.ring.at(now)
    }

    /// Keeps the keys of the tokens current for the life of the process. While the database does not answer, the known
    /// keys stay in use, and each still begins to sign at its time. Whoever came in with a token of a replaced key is
    /// sent out.
    pub(super) async fn keep_current(
        mut self,
        tokens: Arc<Tokens>,
        signals: Arc<HeardSignals>,
        tell: impl Fn(Told),
    ) {
        let HeardSignals { pool, clock, .. } = &*signals;
        loop {
            sleep(LOOK).await;
            if !self.is_given {
                match accounts::shared_keys(pool, clock.now()).await {
                    Ok(ring) => self.ring = ring,
                    Err(error) => tracing::debug!(%error, "could not read the signing keys; retrying"),
                }
            }
            let keys = self.at(clock.now());
            let signs = keys.ids().next().unwrap_or_default().to_owned();
            match tokens.replace_keys(keys) {
                NewKeys::Same => {}
                NewKeys::Rotated => tracing::info!(signs, "the signing keys have changed"),
                NewKeys::Replaced(logins) => {
                    tracing::info!(signs, "the signing key was replaced; all logins have ended");
                    signals.end_logins(logins, &tell);
                }
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

/// Publishes a new key in the database, which will sign later, and returns all keys. With `at_once`, the key replaces
/// all others immediately, and all tokens and logins end.
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

/// The keys in the database, and the use of each.
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
