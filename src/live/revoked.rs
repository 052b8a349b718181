//! The deny set: revoked logins and ended API keys, in memory until the last access token of each has expired; and the
//! accounts that were deactivated meanwhile, so that a refusal can give the reason. Time is measured by the monotonic
//! clock, because a clock that is set ahead and back would forget logins too early.
//!
//! This is a register, not a cache. An evicted login would be let in again, so no limit evicts a login.
//!
//! A deactivation ends all logins of an account, so the deny set refuses them, whatever is known about the account.
//! Only the tokens of issuers have no login that ends for good: such a token is refused while its account is known to
//! be deactivated, and the database is queried again soon ([`Revoked::news_of`]). So a node that misses a reactivation
//! does not refuse new logins for long.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{
    accounts::{self, key_use},
    credentials::{HOST_LIFE, Identity, LEEWAY, Proof},
    domain::{LoginId, Time, UserId},
};

/// How long a revoked login is remembered: longer than any access token lives, because a node whose clock is behind
/// still accepts a token of a node whose clock is ahead.
const MEMORY: Duration = Duration::from_secs(HOST_LIFE.as_secs() + 3 * LEEWAY.as_secs());

/// Timeout of the query.
const ANSWER: Duration = Duration::from_secs(5);

/// The time between two sweeps of expired entries.
const SWEEP: Duration = Duration::from_secs(60);

/// Why a proof that was valid no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The login was revoked.
    Revoked,
    /// The API key has ended.
    KeyRevoked,
    /// The account was deactivated.
    Suspended,
}

/// The deny set of a node. Its size is bounded by the number of logins that are revoked within about an hour.
#[derive(Debug, Default)]
pub struct Revoked(RwLock<Memory>);

#[derive(Debug, Default)]
struct Memory {
    until: HashMap<LoginId, Instant>,
    /// The accounts that were deactivated or reactivated lately.
    accounts: HashMap<UserId, News>,
    swept_at: Option<Instant>,
}

/// The latest news about an account.
#[derive(Debug, Clone, Copy)]
struct News {
    is_suspended: bool,
    at: Instant,
}

impl Revoked {
    /// Denies a login from now on, for as long as one of its access tokens can live.
    pub fn insert(&self, login: LoginId) {
        self.insert_all([login]);
    }

    /// Whether a login was revoked. If so, its tokens no longer count, although they have not expired.
    pub fn contains(&self, login: LoginId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).until.contains_key(&login)
    }

    /// Whether a login of a user has ended lately, or the account of the user is deactivated.
    pub fn has_ended(&self, user: UserId, login: LoginId) -> bool {
        let memory = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_suspended = memory.accounts.get(&user).is_some_and(|news| news.is_suspended);
        is_suspended || memory.until.contains_key(&login)
    }

    /// Why a proof no longer counts; `None` if it counts.
    pub fn why(&self, caller: &Identity) -> Option<Ended> {
        let memory = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_suspended = memory.accounts.get(&caller.user).is_some_and(|news| news.is_suspended);
        match (memory.until.contains_key(&caller.login), caller.proof) {
            (true, Proof::Login | Proof::Issuer) | (false, Proof::Issuer) if is_suspended => {
                Some(Ended::Suspended)
            }
            (true, Proof::Key) => Some(Ended::KeyRevoked),
            (true, _) => Some(Ended::Revoked),
            // The key of a program that acts for the account stays valid, but the program can no longer act for it.
            (false, Proof::Key) if is_suspended && caller.is_acted_for() => Some(Ended::Suspended),
            (false, _) => None,
        }
    }

    /// Notes that an account was deactivated. Must be called before its logins are inserted: in the other order, a
    /// session could end between the two and get another reason.
    pub fn suspend(&self, user: UserId) {
        self.write().note(user, News { is_suspended: true, at: Instant::now() });
    }

    /// Notes that an account is active again. Its earlier logins stay denied.
    pub fn restore(&self, user: UserId) {
        self.write().note(user, News { is_suspended: false, at: Instant::now() });
    }

    /// Notes the answer of the database to a query, unless there has been news since the query.
    pub(crate) fn learn(&self, user: UserId, is_suspended: bool, asked: Instant) {
        let mut memory = self.write();
        let known = memory.accounts.get(&user).copied();
        if known.map_or(is_suspended, |news| news.at <= asked) {
            memory.note(user, News { is_suspended, at: asked });
        }
    }

    /// When there was last news about an account. Anything known from before may be out of date.
    pub(crate) fn news_of(&self, user: UserId) -> Option<Instant> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).accounts.get(&user).map(|news| news.at)
    }

    /// Adds the logins and deactivated accounts from the database. Must be called before serving, and after signals may
    /// have been missed. On an error, a node must not serve, because it would let revoked logins in.
    pub async fn load(&self, pool: &PgPool, now: Time) -> Result<(), sqlx::Error> {
        let asked = Instant::now();
        // On a dead connection, this would wait for ever, and revoked logins would be let in meanwhile.
        let suspended = in_time(accounts::suspended_since(pool, now, MEMORY)).await?;
        let logins = in_time(accounts::revoked_since(pool, now, MEMORY)).await?;
        self.learn_all(&suspended.into_iter().collect(), asked);
        self.insert_all(logins);
        Ok(())
    }

    /// Takes in all deactivated accounts. An account that is known to be deactivated but is not among them is active
    /// again.
    fn learn_all(&self, suspended: &HashSet<UserId>, asked: Instant) {
        let mut memory = self.write();
        for (user, news) in &mut memory.accounts {
            if news.at <= asked && !suspended.contains(user) {
                *news = News { is_suspended: false, at: asked };
            }
        }
        drop(memory);
        suspended.iter().for_each(|user| self.learn(*user, true, asked));
    }

    /// Adds the API keys that ended lately. Returns whether one of them is new here. Every node polls for them, because no
    /// signal reports that a key has expired.
    pub async fn load_keys(&self, pool: &PgPool, now: Time) -> Result<bool, sqlx::Error> {
        in_time(key_use::ended_since(pool, now, MEMORY)).await.map(|keys| self.insert_new(keys))
    }

    /// Adds the accounts that were deactivated within `age`. Returns whether one of them is new here. Every node polls
    /// for them and for the logins, because a signal gets lost if its sender is cut off from NATS, or dies after its
    /// commit.
    pub async fn load_accounts(&self, pool: &PgPool, now: Time, age: Duration) -> Result<bool, sqlx::Error> {
        let asked = Instant::now();
        let suspended = in_time(accounts::suspended_since(pool, now, age.min(MEMORY))).await?;
        let mut has_new = false;
        for user in suspended {
            has_new |= self.is_news(user, asked);
        }
        Ok(has_new)
    }

    /// Adds the logins that were revoked within `age`. Returns whether one of them is new here.
    pub async fn load_logins(&self, pool: &PgPool, now: Time, age: Duration) -> Result<bool, sqlx::Error> {
        let revoked = in_time(accounts::revoked_since(pool, now, age.min(MEMORY))).await?;
        Ok(self.insert_new(revoked))
    }

    /// Denies the logins that are not denied yet. Returns whether there are any.
    fn insert_new(&self, mut logins: Vec<LoginId>) -> bool {
        logins.retain(|login| !self.contains(*login));
        let has_new = !logins.is_empty();
        self.insert_all(logins);
        has_new
    }

    /// Takes in that an account was deactivated when the database was asked. Returns whether that is new here.
    fn is_news(&self, user: UserId, asked: Instant) -> bool {
        let mut memory = self.write();
        let known = memory.accounts.get(&user);
        let is_news = known.is_none_or(|news| !news.is_suspended && news.at <= asked);
        if is_news {
            memory.note(user, News { is_suspended: true, at: asked });
        }
        is_news
    }

    /// Denies logins from now on, like [`Self::insert`].
    pub fn insert_all(&self, logins: impl IntoIterator<Item = LoginId>) {
        let now = Instant::now();
        let mut memory = self.write();
        for login in logins {
            memory.until.insert(login, now + MEMORY);
        }
        memory.sweep(now);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn note(&mut self, user: UserId, news: News) {
        self.accounts.insert(user, news);
        self.sweep(Instant::now());
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_none_or(|at| now.duration_since(at) >= SWEEP) {
            self.until.retain(|_, until| *until > now);
            self.accounts.retain(|_, news| now.duration_since(news.at) < MEMORY);
            self.swept_at = Some(now);
        }
    }
}

async fn in_time<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let answered = timeout(ANSWER, query).await;
    answered.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::credentials::Scopes;

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

    fn caller(proof: Proof, of_login: u32) -> Identity {
        let user = UserId::known(uuid::Uuid::from_u128(7));
        let expires_at = "2026-11-24T12:00:00Z".parse().expect("time");
        Identity { user, login: login(of_login), proof, expires_at, via: None, scopes: Scopes::PERSON }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_of_a_deactivated_account_tells_why_it_counts_no_more() {
        let revoked = Revoked::default();
        let (ours, theirs) = (caller(Proof::Login, 1), caller(Proof::Issuer, 2));
        assert_eq!((revoked.why(&ours), revoked.why(&theirs)), (None, None));
        revoked.suspend(ours.user);
        revoked.insert(ours.login);
        let suspended = Some(Ended::Suspended);
        assert_eq!((revoked.why(&ours), revoked.why(&theirs)), (suspended, suspended));
        assert_eq!(revoked.why(&caller(Proof::Login, 3)), None, "a login that begins later");
        let program = UserId::known(uuid::Uuid::from_u128(8));
        let acts_for = Identity { via: Some(program), ..caller(Proof::Key, 4) };
        assert_eq!(revoked.why(&acts_for), suspended, "a program that acts for the account");
        revoked.insert(acts_for.login);
        assert_eq!(revoked.why(&acts_for), Some(Ended::KeyRevoked));
        advance(Duration::from_secs(1)).await;
        revoked.restore(ours.user);
        assert_eq!((revoked.why(&ours), revoked.why(&theirs)), (Some(Ended::Revoked), None));
        advance(MEMORY + SWEEP).await;
        revoked.insert(login(9));
        assert!(revoked.news_of(ours.user).is_none(), "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_the_database_counts_unless_something_was_heard_meanwhile() {
        let revoked = Revoked::default();
        let theirs = caller(Proof::Issuer, 2);
        let before = Instant::now();
        revoked.learn(theirs.user, false, before);
        assert!(revoked.news_of(theirs.user).is_none(), "an active account is no news");
        advance(Duration::from_secs(1)).await;
        revoked.suspend(theirs.user);
        revoked.learn(theirs.user, false, before);
        assert_eq!(revoked.why(&theirs), Some(Ended::Suspended));
        advance(Duration::from_secs(1)).await;
        revoked.learn(theirs.user, false, Instant::now());
        assert_eq!(revoked.why(&theirs), None, "the signal was lost");
        advance(Duration::from_secs(1)).await;
        revoked.learn_all(&HashSet::from([theirs.user]), Instant::now());
        assert_eq!(revoked.why(&theirs), Some(Ended::Suspended));
        advance(Duration::from_secs(1)).await;
        revoked.learn_all(&HashSet::new(), Instant::now());
        assert_eq!(revoked.why(&theirs), None);
        let before = Instant::now();
        advance(Duration::from_secs(1)).await;
        assert!(revoked.is_news(theirs.user, Instant::now()), "the signal was lost");
        assert!(!revoked.is_news(theirs.user, Instant::now()), "known since");
        assert_eq!(revoked.why(&theirs), Some(Ended::Suspended));
        revoked.restore(theirs.user);
        assert!(!revoked.is_news(theirs.user, before), "older than the reactivation");
        assert_eq!(revoked.why(&theirs), None);
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
