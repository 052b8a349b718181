//! The API keys that were used lately, as the database has them, because a request with a key must not cost a query.
//!
//! A revocation of a key reaches a node like that of a login, through the deny set ([`Revoked`](crate::live::Revoked)),
//! so nothing has to be forgotten here for it. If a key is in the deny set but still looks valid here, it is queried
//! once more to find the reason for its end. All other changes of a key are noticed when it is queried again, after a
//! minute. While the database does not answer, the stored keys are used as they are, because keys are changed in the
//! same database.

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
/// How much longer it is trusted if it cannot be queried again. Until then, the database is left alone.
const ONCE_MORE: Duration = Duration::from_secs(5);
/// Timeout of a query if a stored key can replace its answer.
const AGAIN: Duration = Duration::from_millis(250);
/// Timeout of a query otherwise.
const FIRST: Duration = Duration::from_secs(2);
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
    /// When the database gave the answer.
    asked_at: Instant,
    good_until: Instant,
}

impl KnownKey {
    fn of(key: Option<StoredKey>, asked_at: Instant) -> Self {
        Self { key: key.map(Arc::new), asked_at, good_until: asked_at + FRESH }
    }

    /// Whether the answer may be used without a query.
    pub fn is_fresh(&self) -> bool {
        Instant::now() < self.good_until
    }

    /// Whether the database did not answer when it was queried again.
    pub fn is_believed_once_more(&self) -> bool {
        self.good_until > self.asked_at + FRESH
    }

    /// Whether the answer can replace one that the database does not give.
    fn is_believable(&self) -> bool {
        self.key.is_some() && self.asked_at.elapsed() < AT_MOST
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

    /// Queries the database for an id. While the database does not answer, a stored answer that is not too old is
    /// believed once more, for [`ONCE_MORE`] at a time.
    pub(crate) async fn ask(&self, id: KeyId) -> Result<KnownKey, sqlx::Error> {
        let asked_at = Instant::now();
        let is_replaceable = self.known(id).is_some_and(|known| known.is_believable());
        let patience = if is_replaceable { AGAIN } else { FIRST };
        let found = timeout(patience, find(&self.pool, id)).await;
        match found.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(key) => {
                let known = KnownKey::of(key, asked_at);
                self.known.insert(id, known.clone());
                Ok(known)
            }
            Err(error) => self.known.change(&id, believe_once_more).flatten().ok_or(error),
        }
    }
}

/// Extends the time of a stored answer and returns the answer; `None` if it is too old.
fn believe_once_more(known: &mut KnownKey) -> Option<KnownKey> {
    if !known.is_believable() {
        return None;
    }
    known.good_until = (Instant::now() + ONCE_MORE).min(known.asked_at + AT_MOST);
    Some(known.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::time::advance;

    use super::*;
    use crate::{
        credentials::{KeyNetworks, Scopes},
        domain::{LoginId, UserId},
    };

    fn key() -> StoredKey {
        StoredKey {
            id: LoginId::known(uuid::Uuid::nil()),
            account: UserId::known(uuid::Uuid::nil()),
            hash: Vec::new(),
            scopes: Scopes::PERSON,
            networks: KeyNetworks::default(),
            expires_at: None,
            limits: BTreeMap::new(),
            is_revoked: false,
            is_suspended: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_database_is_away_a_key_is_believed_for_ten_minutes_and_asked_for_every_five_seconds() {
        let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/nothing").expect("a URL");
        let (keys, id) = (ApiKeys::new(pool), KeyId::known("000000000000").expect("an id"));
        keys.ask(id).await.expect_err("never seen");
        let begin = Instant::now();
        keys.known.insert(id, KnownKey::of(Some(key()), begin));
        advance(FRESH).await;
        let mut asked = 0;
        while begin.elapsed() < AT_MOST - AGAIN {
            if keys.known(id).is_some_and(|known| known.is_fresh()) {
                advance(Duration::from_millis(100)).await;
                continue;
            }
            let before = Instant::now();
            let known = keys.ask(id).await.expect("believed");
            assert!(before.elapsed() <= AGAIN + Duration::from_millis(10), "{:?}", before.elapsed());
            assert!(known.is_fresh() && known.is_believed_once_more());
            asked += 1;
        }
        assert!((90..=120).contains(&asked), "{asked}");
        advance(ONCE_MORE).await;
        keys.ask(id).await.expect_err("too old");
    }

    #[tokio::test(start_paused = true)]
    async fn that_there_is_no_key_is_not_believed_once_more() {
        let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/nothing").expect("a URL");
        let (keys, id) = (ApiKeys::new(pool), KeyId::known("000000000000").expect("an id"));
        keys.known.insert(id, KnownKey::of(None, Instant::now()));
        advance(FRESH).await;
        keys.ask(id).await.expect_err("it may have been made meanwhile");
    }
}
