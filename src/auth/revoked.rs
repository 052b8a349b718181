//! The logins that were revoked, kept in memory until the last access token of each has expired.

use std::{
    collections::HashMap,
    io,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::{ACCESS_LIFE, LEEWAY};
use crate::domain::{LoginId, Time};

/// How long a revoked login must be remembered: a node whose clock is ahead may have given out a
/// token that another one, whose clock is behind, still accepts.
const MEMORY: Duration = Duration::from_secs(ACCESS_LIFE.as_secs() + 3 * LEEWAY.as_secs());

/// How long the database may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How often what is forgotten is thrown away.
const SWEEP: Duration = Duration::from_secs(60);

/// The deny set of a node. It is bounded by what is revoked within about twelve minutes.
#[derive(Debug, Default)]
pub struct Revoked(RwLock<Memory>);

#[derive(Debug, Default)]
struct Memory {
    until: HashMap<LoginId, Time>,
    swept_at: Option<Time>,
}

impl Revoked {
    /// Denies a login from now on, for as long as an access token of it can live.
    pub fn insert(&self, login: LoginId, now: Time) {
        self.insert_all([(login, now.plus(MEMORY))], now);
    }

    /// Whether a login was revoked. A token that has not expired may be used only if not.
    pub fn contains(&self, login: LoginId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).until.contains_key(&login)
    }

    /// Adds what the database knows. To be called before serving and after messages may have been
    /// missed; on an error a node must not serve, for it would let in who may not.
    pub async fn load(&self, pool: &PgPool, now: Time) -> Result<(), sqlx::Error> {
        let revoked_since = sqlx::query_as("select id, revoked_at from auth.login where revoked_at > $1")
            .bind(now.datetime() - MEMORY)
            .fetch_all(pool);
        // On a connection that is dead without a word this would wait for ever, and let in who may not.
        let rows: Vec<(Uuid, OffsetDateTime)> = timeout(ANSWER, revoked_since)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        let until = |(id, at)| (LoginId::known(id), Time::of(at).plus(MEMORY));
        self.insert_all(rows.into_iter().map(until), now);
        Ok(())
    }

    fn insert_all(&self, logins: impl IntoIterator<Item = (LoginId, Time)>, now: Time) {
        let mut memory = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (login, until) in logins {
            let known = memory.until.entry(login).or_insert(until);
            *known = until.max(*known);
        }
        if memory.swept_at.is_none_or(|at| now.since(at) >= SWEEP) {
            memory.until.retain(|_, until| *until > now);
            memory.swept_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(n: u32) -> LoginId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    fn after(seconds: u64) -> Time {
        let start: Time = "2026-11-24T12:00:00Z".parse().expect("time");
        start.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_revoked_login_is_denied_until_its_last_token_has_expired() {
        let revoked = Revoked::default();
        assert!(!revoked.contains(login(1)));
        revoked.insert(login(1), after(0));
        assert!(revoked.contains(login(1)));
        assert!(!revoked.contains(login(2)));
        revoked.insert(login(2), after(660));
        assert!(revoked.contains(login(1)), "token life and leeway of both clocks");
        revoked.insert(login(3), after(760));
        assert!(!revoked.contains(login(1)), "forgotten");
        assert!(revoked.contains(login(2)) && revoked.contains(login(3)));
    }

    #[test]
    fn what_is_remembered_is_bounded_by_time() {
        let revoked = Revoked::default();
        for n in 0..10_000 {
            revoked.insert(login(n), after(u64::from(n)));
        }
        let remembered = revoked.0.read().expect("lock").until.len();
        assert!((690..=750).contains(&remembered), "{remembered}");
    }

    #[test]
    fn an_older_time_of_revocation_does_not_shorten_the_memory() {
        let revoked = Revoked::default();
        revoked.insert(login(1), after(600));
        revoked.insert(login(1), after(0));
        revoked.insert(login(2), after(1200));
        assert!(revoked.contains(login(1)));
    }
}
