//! The API keys that were used lately, as the database has them, because a request with a key must not cost a query.
//!
//! A revocation of a key reaches a node like that of a login, through the deny set ([`Revoked`](crate::live::Revoked)),
//! so nothing has to be forgotten here for it. If a key is in the deny set but still looks valid here, it is queried
//! once more to find the reason for its end. All other changes of a key are noticed when it is queried again, after a
//! minute.

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

/// How long a stored key is trusted.
const FRESH: Duration = Duration::from_secs(60);
/// How long it is trusted while the database does not answer. This is no longer than the life of an access token,
/// because soon after that time the deny set forgets a key that was revoked elsewhere.
const AT_MOST: Duration = ACCESS_LIFE;
/// Timeout of the query.
const ANSWER: Duration = Duration::from_secs(2);
/// The most entries in memory: keys, and ids that no key has.
const MOST: usize = 16_384;
/// How many ids can be queried at once.
const TURNS: usize = 16;

/// The keys that this node knows.
#[derive(Debug)]
pub struct ApiKeys {
    pool: PgPool,
    known: Cache<KeyId, KnownKey>,
    /// An id is queried once, however many requests wait for the answer, because its requests share a turn.
    turns: [Mutex<()>; TURNS],
    hashes: RandomState,
}

/// The database's answer about an id.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The key; `None` if no key has the id.
    pub(crate) key: Option<Arc<StoredKey>>,
    /// When the database was queried.
    asked_at: Instant,
}

impl KnownKey {
    /// Whether the answer is recent enough.
    pub fn is_fresh(&self) -> bool {
        self.asked_at.elapsed() < FRESH
    }
}

impl ApiKeys {
    /// Starts without any keys.
    pub fn new(pool: PgPool) -> Self {
        let turns = std::array::from_fn(|_| Mutex::default());
        Self { pool, known: Cache::new("api_keys", MOST), turns, hashes: RandomState::new() }
    }

    /// The stored answer about an id, however old.
    pub(crate) fn known(&self, id: KeyId) -> Option<KnownKey> {
        self.known.get(&id)
    }

    /// Forgets the stored answer about an id if it is older than `age`. Returns whether it was.
    pub(crate) fn forget_older(&self, id: KeyId, age: Duration) -> bool {
        let is_older = self.known(id).is_some_and(|known| known.asked_at.elapsed() > age);
        if is_older {
            self.known.forget(&id);
        }
        is_older
    }

    /// Waits for the turn to query an id. The caller then has to check the stored answer again, because another request
    /// may have queried the id meanwhile.
    pub(crate) async fn turn(&self, id: KeyId) -> MutexGuard<'_, ()> {
        let number = self.hashes.hash_one(id) as usize % TURNS;
        self.turns[number].lock().await
    }

    /// Queries the database for an id. While the database does not answer, a stored answer that is not too old is used
    /// once more, because keys are changed in the same database.
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
