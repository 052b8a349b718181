//! The deny set: revoked logins and ended API keys, in memory until the last access token of each has expired. The monotonic clock
//! measures that time, because a clock that is set ahead and back would forget logins too early.
//!
//! This is a register and no cache. An evicted login would be let in again, so no bound evicts a login.

use std::{
    collections::HashMap,
    io,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{
    accounts::{self, key_use},
    credentials::{HOST_LIFE, LEEWAY},
    domain::{LoginId, Time},
};

/// How long a revoked login is remembered: longer than any access token lives. A node whose clock is behind still accepts
/// a token of a node whose clock is ahead.
const MEMORY: Duration = Duration::from_secs(HOST_LIFE.as_secs() + 3 * LEEWAY.as_secs());

/// Timeout of the query.
const ANSWER: Duration = Duration::from_secs(5);

/// The time between two sweeps of logins whose time is over.
const SWEEP: Duration = Duration::from_secs(60);

/// The deny set of a node. Its bound is the number of logins that are revoked within about an hour.
#[derive(Debug, Default)]
pub struct Revoked(RwLock<Memory>);

#[derive(Debug, Default)]
struct Memory {
    until: HashMap<LoginId, Instant>,
    swept_at: Option<Instant>,
}

impl Revoked {
    /// Denies a login from now on, for as long as an access token of it can live.
    pub fn insert(&self, login: LoginId) {
        self.insert_all([login]);
    }

    /// Whether a login was revoked. If so, its tokens count no more, although they have not expired.
    pub fn contains(&self, login: LoginId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).until.contains_key(&login)
    }

    /// Adds the logins that the database has. To be called before serving, and after signals may have been missed. On
    /// an error a node must not serve, because it would let revoked logins in.
    pub async fn load(&self, pool: &PgPool, now: Time) -> Result<(), sqlx::Error> {
        // A dead connection would make this wait for ever, and revoked logins would be let in meanwhile.
        let revoked = timeout(ANSWER, accounts::revoked_since(pool, now, MEMORY)).await;
        let logins = revoked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        self.insert_all(logins);
        Ok(())
    }

    /// Adds the API keys that ended lately, and returns whether one of them is new here. Every node asks for them again and
    /// again: a key also ends when its time is over, and nobody tells the nodes then.
    pub async fn load_keys(&self, pool: &PgPool, now: Time) -> Result<bool, sqlx::Error> {
        let ended = timeout(ANSWER, key_use::ended_since(pool, now, MEMORY)).await;
        let keys = ended.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        let has_new = keys.iter().any(|key| !self.contains(*key));
        self.insert_all(keys);
        Ok(has_new)
    }

    fn insert_all(&self, logins: impl IntoIterator<Item = LoginId>) {
        let now = Instant::now();
        let mut memory = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for login in logins {
            memory.until.insert(login, now + MEMORY);
        }
        if memory.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP) {
            memory.until.retain(|_, until| *until > now);
            memory.swept_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn login(n: u32) -> LoginId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    #[tokio::test(start_paused = true)]
    async fn a_revoked_login_is_denied_until_its_last_token_has_expired() {
        let revoked = Revoked::default();
        assert!(!revoked.contains(login(1)));
        revoked.insert(login(1));
        assert!(revoked.contains(login(1)));
        assert!(!revoked.contains(login(2)));
        advance(Duration::from_secs(3_660)).await;
        revoked.insert(login(2));
        assert!(revoked.contains(login(1)), "token life and leeway of both clocks");
        advance(Duration::from_secs(100)).await;
        revoked.insert(login(3));
        assert!(!revoked.contains(login(1)), "forgotten");
        assert!(revoked.contains(login(2)) && revoked.contains(login(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_by_time() {
        let revoked = Revoked::default();
        for n in 0..20_000 {
            revoked.insert(login(n));
            advance(Duration::from_secs(1)).await;
        }
        let remembered = revoked.0.read().expect("lock").until.len();
        assert!((3_690..=3_750).contains(&remembered), "{remembered}");
    }
}
