//! The API keys that were used lately, as the database has them: a request by key must not cost a query.
//!
//! A revocation reaches a node as that of a login does, by the deny set ([`Revoked`](crate::live::Revoked)), so nothing
//! here has to be forgotten for it. A key that is in the deny set and looks alive here is asked for once more, to tell why it
//! ended. All other changes of a key show when it is asked for again, after a minute.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use crate::{
    accounts::key_use::{StoredKey, find},
    cache::Cache,
    credentials::{ACCESS_LIFE, KeyId},
};

/// How long a stored key is believed.
const FRESH: Duration = Duration::from_secs(60);
/// How long it is believed while the database does not answer: no longer than an access token, because the deny set
/// forgets a key that was revoked elsewhere soon after that time.
const AT_MOST: Duration = ACCESS_LIFE;
/// Timeout of the query.
const ANSWER: Duration = Duration::from_secs(2);
/// The most keys in memory, and ids that no key has.
const MOST: usize = 16_384;
/// How many ids can be asked for at once.
const TURNS: usize = 16;

/// The keys that this node knows.
#[derive(Debug)]
pub struct ApiKeys {
    pool: PgPool,
    known: Cache<KeyId, KnownKey>,
    /// One id is asked for once, however many requests wait for the answer: its requests share a turn.
    turns: [Mutex<()>; TURNS],
    hashes: RandomState,
}

/// What the database said about an id.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The key; `None` if no key has the id.
    pub(crate) key: Option<Arc<StoredKey>>,
    /// When the database was asked.
    asked_at: Instant,
}

impl KnownKey {
    /// Whether the answer is young enough.
    pub fn is_fresh(&self) -> bool {
        self.asked_at.elapsed() < FRESH
    }
}

impl ApiKeys {
    /// Knows nothing yet.
    pub fn new(pool: PgPool) -> Self {
        let turns = std::array::from_fn(|_| Mutex::default());
        Self { pool, known: Cache::new("api_keys", MOST), turns, hashes: RandomState::new() }
    }

    /// What this node knows about an id, however old.
    pub(crate) fn known(&self, id: KeyId) -> Option<KnownKey> {
        self.known.get(&id)
    }

    /// Forgets what it knows about an id, if that is older than this. Whether it was.
    pub(crate) fn forget_older(&self, id: KeyId, age: Duration) -> bool {
        let is_older = self.known(id).is_some_and(|known| known.asked_at.elapsed() > age);
        if is_older {
            self.known.forget(&id);
        }
        is_older
    }

    /// A turn to ask for an id. Whoever gets a turn looks at what is known again: another request may have asked.
    pub(crate) async fn turn(&self, id: KeyId) -> MutexGuard<'_, ()> {
        let number = self.hashes.hash_one(id) as usize % TURNS;
        self.turns[number].lock().await
    }

    /// Asks the database for an id. While it does not answer, an answer that is not too old is good once more: keys are
    /// changed in the same database.
    pub(crate) async fn ask(&self, id: KeyId) -> Result<KnownKey, sqlx::Error> {
        let asked_at = Instant::now();
        let found = timeout(ANSWER, find(&self.pool, id)).await;
        match found.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(key) => {
                let known = KnownKey { key: key.map(Arc::new), asked_at };
                self.known.insert(id, known.clone());
                Ok(known)
            }
            Err(error) => {
                let is_good = |known: &KnownKey| known.key.is_some() && known.asked_at.elapsed() < AT_MOST;
                self.known(id).filter(is_good).ok_or(error)
            }
        }
    }
}
