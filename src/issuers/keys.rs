//! This node's copy of the keys of one issuer: how long it is valid, and when it is fetched again.
//!
//! A token can name any key, so unknown names cause at most one fetch of the set in [`Pace::retry`], however many
//! tokens come. Requests that need a fetch wait for the same one. The fetch is a separate task, so that a client cannot
//! abort it by disconnecting, and then start another.
//!
//! A key that has left the set must be rejected within [`AT_MOST`]. So a set of that age is not used without another
//! fetch, whatever `max-age` says, and while a fetch is in flight, only a younger set is used. If the issuer does not
//! answer, its last set stays in use for [`STALE`], and requests for its keys do not wait for the fetches that follow
//! soon.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::{
    issuers::key_set::{Key, KeySet},
    telemetry::METRICS,
};

/// The time within which a removed key is no longer accepted.
const AT_MOST: Duration = Duration::from_secs(600);
/// The longest time between two fetches of a set in use. It is shorter than [`AT_MOST`] to leave time for the fetch.
const LONGEST: Duration = Duration::from_secs(570);
/// How long a set stays in use when the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long an unknown name is remembered, and the maximum number of remembered names.
const UNKNOWN: Duration = Duration::from_secs(300);
const MOST_UNKNOWN: usize = 128;

/// How often keys are fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The shortest lifetime of a set. `max-age` can extend it.
    pub(crate) refresh: Duration,
    /// The shortest time between two fetches because of an unknown key, or after a failure.
    pub(crate) retry: Duration,
}

/// A fetched set.
#[derive(Clone)]
pub(super) struct Fetched {
    pub(super) set: KeySet,
    /// `max-age` of the answer.
    pub(super) max_age: Option<Duration>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has no such key.
    Unknown,
    /// The keys of the issuer cannot be fetched.
    Unavailable,
}

pub(super) struct Keys {
    pace: Pace,
    state: Mutex<State>,
    /// Held by the fetch in flight.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    is_fetching: bool,
    tried_at: Option<Instant>,
    failed_at: Option<Instant>,
    unknown: VecDeque<(String, Instant)>,
}

struct Known {
    set: KeySet,
    at: Instant,
    life: Duration,
}

enum Look {
    Found(Arc<Key>),
    Not(NoKey),
    /// The answer needs a fetch.
    Fetch,
}

impl Keys {
    pub(super) fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Self { pace, state: Mutex::default(), turn: Arc::default() })
    }

    /// The key with this name. `fetch` requests the set from the issuer, and is called only if necessary.
    pub(super) async fn named<F>(
        self: &Arc<Self>,
        name: &str,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<Key>, NoKey>
    where
        F: Future<Output = Option<Fetched>> + Send + 'static,
    {
        match self.look(name) {
            Look::Found(key) => return Ok(key),
            Look::Not(why) => return Err(why),
            Look::Fetch => {}
        }
        let turn = self.turn.clone().lock_owned().await;
        // Another request may have fetched the set while this one waited for its turn.
        match self.look(name) {
            Look::Found(key) => return Ok(key),
            Look::Not(why) => return Err(why),
            Look::Fetch => {}
        }
        let is_silent = {
            let mut state = self.state();
            state.tried_at = Some(Instant::now());
            state.is_fetching = true;
            state.has_failed_within(AT_MOST)
        };
        let (keys, fetch) = (self.clone(), fetch());
        let task = tokio::spawn(async move {
            let _turn = turn;
            // A fetch that panics has failed.
            let outcome = AssertUnwindSafe(fetch).catch_unwind().await;
            keys.take(outcome.ok().flatten());
        });
        if is_silent && let Look::Found(key) = self.look(name) {
            return Ok(key);
        }
        let _ = task.await;
        let found = match self.look(name) {
            Look::Found(key) => Ok(key),
            Look::Not(why) => Err(why),
            Look::Fetch => Err(NoKey::Unavailable),
        };
        if found.as_ref().err() == Some(&NoKey::Unknown) {
            self.state().remember_unknown(name);
        }
        found
    }

    fn look(&self, name: &str) -> Look {
        let state = self.state();
        let now = Instant::now();
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now - at < self.pace.retry);
        let known = state.known.as_ref().filter(|known| now - known.at < STALE);
        if let Some((known, key)) = known.and_then(|known| Some((known, known.set.named(name)?))) {
            let age = now - known.at;
            if age < known.life || (state.is_fetching && age < AT_MOST) {
                return Look::Found(key);
            }
            if state.has_failed_within(if state.is_fetching { AT_MOST } else { self.pace.retry }) {
                METRICS.stale_issuer_keys.inc();
                return Look::Found(key);
            }
            return Look::Fetch;
        }
        if state.is_fetching {
            return Look::Fetch;
        }
        if is_recent(state.tried_at) {
            return Look::Not(if known.is_some() { NoKey::Unknown } else { NoKey::Unavailable });
        }
        let is_fresh = known.is_some_and(|known| now - known.at < known.life);
        match is_fresh && state.is_unknown(name, now) {
            true => Look::Not(NoKey::Unknown),
            false => Look::Fetch,
        }
    }

    fn take(&self, outcome: Option<Fetched>) {
        let now = Instant::now();
        let mut state = self.state();
        state.is_fetching = false;
        match outcome {
            Some(Fetched { set, max_age }) => {
                let life =
                    max_age.unwrap_or_default().clamp(self.pace.refresh, LONGEST.max(self.pace.refresh));
                state.unknown.retain(|(name, _)| set.named(name).is_none());
                state.known = Some(Known { set, at: now, life });
                state.failed_at = None;
            }
            None => state.failed_at = Some(now),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the last fetch failed, and not longer ago than this.
    fn has_failed_within(&self, time: Duration) -> bool {
        self.failed_at.is_some_and(|at| at.elapsed() < time)
    }

    fn is_unknown(&self, name: &str, now: Instant) -> bool {
        self.unknown.iter().any(|(unknown, at)| unknown == name && now - *at < UNKNOWN)
    }

    fn remember_unknown(&mut self, name: &str) {
        self.unknown.retain(|(unknown, _)| unknown != name);
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((name.to_owned(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::time::{advance, sleep};

    use super::*;

    const PACE: Pace = Pace { refresh: Duration::from_secs(300), retry: Duration::from_secs(30) };

    /// An issuer that answers with these keys, or not at all.
    struct Issuer {
        keys: Arc<Keys>,
        names: Mutex<Option<Vec<&'static str>>>,
        max_age: Option<Duration>,
        fetches: AtomicUsize,
    }

    impl Issuer {
        fn with(names: &[&'static str], max_age: Option<u64>) -> Self {
            let max_age = max_age.map(Duration::from_secs);
            let names = Mutex::new(Some(names.to_vec()));
            Self { keys: Keys::new(PACE), names, max_age, fetches: AtomicUsize::new(0) }
        }

        fn now_has(&self, names: Option<&[&'static str]>) {
            *self.names.lock().expect("names") = names.map(<[_]>::to_vec);
        }

        async fn asked_for(&self, name: &str) -> Result<(), NoKey> {
            let fetch = || {
                self.fetches.fetch_add(1, Ordering::Relaxed);
                let names = self.names.lock().expect("names").clone();
                let max_age = self.max_age;
                async move {
                    sleep(Duration::from_millis(100)).await;
                    let key = |kid| json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": "AQ" });
                    let keys: Vec<_> = names?.into_iter().map(key).collect();
                    let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes())?;
                    Some(Fetched { set, max_age })
                }
            };
            self.keys.named(name, fetch).await.map(|_| ())
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::Relaxed)
        }
    }

    async fn seconds(seconds: u64) {
        advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_for_one_key_fetch_it_once() {
        let issuer = Issuer::with(&["a"], None);
        let all = futures_util::future::join_all((0..100).map(|_| issuer.asked_for("a"))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(issuer.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_unknown_names_fetch_once_in_half_a_minute() {
        let issuer = Issuer::with(&["a"], None);
        assert_eq!(issuer.asked_for("a").await, Ok(()));
        seconds(31).await;
        for n in 0..1000 {
            assert_eq!(issuer.asked_for(&format!("x{n}")).await, Err(NoKey::Unknown));
        }
        assert_eq!(issuer.fetches(), 2);
        seconds(31).await;
        assert_eq!(issuer.asked_for("x0").await, Err(NoKey::Unknown));
        assert_eq!(issuer.fetches(), 2, "remembered as unknown");
        assert_eq!(issuer.asked_for("x999").await, Err(NoKey::Unknown));
        assert_eq!(issuer.fetches(), 3, "never asked for");
        assert!(issuer.keys.state().unknown.len() <= MOST_UNKNOWN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_counts_within_half_a_minute() {
        let issuer = Issuer::with(&["a"], Some(86_400));
        assert_eq!(issuer.asked_for("a").await, Ok(()));
        issuer.now_has(Some(&["a", "b"]));
        assert_eq!(issuer.asked_for("b").await, Err(NoKey::Unknown), "asked a moment ago");
        seconds(30).await;
        assert_eq!(issuer.asked_for("b").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_key_stops_within_ten_minutes_whatever_its_age_may_be() {
        for max_age in [None, Some(0), Some(400), Some(86_400)] {
            let issuer = Issuer::with(&["a", "b"], max_age);
            assert_eq!(issuer.asked_for("a").await, Ok(()));
            issuer.now_has(Some(&["b"]));
            seconds(595).await;
            assert_eq!(issuer.asked_for("a").await, Err(NoKey::Unknown), "{max_age:?}");
        }
        let idle = Issuer::with(&["a", "b"], None);
        assert_eq!(idle.asked_for("a").await, Ok(()));
        idle.now_has(Some(&["b"]));
        seconds(3 * 3600).await;
        let two = tokio::join!(idle.asked_for("a"), idle.asked_for("a"));
        assert_eq!(
            two,
            (Err(NoKey::Unknown), Err(NoKey::Unknown)),
            "an old set does not answer for a new one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_lives_as_long_as_it_says_within_bounds() {
        for (max_age, life) in [(None, 300), (Some(10), 300), (Some(400), 400), (Some(86_400), 570)] {
            let issuer = Issuer::with(&["a"], max_age);
            assert_eq!(issuer.asked_for("a").await, Ok(()));
            seconds(life - 1).await;
            assert_eq!((issuer.asked_for("a").await, issuer.fetches()), (Ok(()), 1), "{max_age:?}");
            seconds(1).await;
            assert_eq!((issuer.asked_for("a").await, issuer.fetches()), (Ok(()), 2), "{max_age:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_is_down_takes_nothing_away_for_a_day() {
        let issuer = Issuer::with(&["a"], None);
        assert_eq!(issuer.asked_for("a").await, Ok(()));
        issuer.now_has(None);
        for hour in 0..23 {
            seconds(3600).await;
            assert_eq!(issuer.asked_for("a").await, Ok(()), "hour {hour}");
            assert_eq!(issuer.asked_for("x").await, Err(NoKey::Unknown), "hour {hour}");
        }
        seconds(2 * 3600).await;
        assert_eq!(issuer.asked_for("a").await, Err(NoKey::Unavailable));
        issuer.now_has(Some(&["a"]));
        seconds(31).await;
        assert_eq!(issuer.asked_for("a").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn while_an_issuer_is_silent_its_keys_wait_for_one_fetch_only() {
        let issuer = Issuer::with(&["a"], None);
        assert_eq!(issuer.asked_for("a").await, Ok(()));
        issuer.now_has(None);
        seconds(3600).await;
        assert_eq!(issuer.asked_for("a").await, Ok(()), "after the fetch has failed");
        for minute in 1..5 {
            seconds(60).await;
            let begin = Instant::now();
            let all = futures_util::future::join_all((0..10).map(|_| issuer.asked_for("a"))).await;
            assert!(all.iter().all(Result::is_ok) && begin.elapsed().is_zero(), "minute {minute}");
            sleep(Duration::from_millis(200)).await;
            assert_eq!(issuer.fetches(), 2 + minute);
        }
        issuer.now_has(Some(&["b"]));
        seconds(60).await;
        assert_eq!(issuer.asked_for("a").await, Ok(()), "the fetch is under way");
        sleep(Duration::from_millis(200)).await;
        assert_eq!(issuer.asked_for("a").await, Err(NoKey::Unknown));
        assert_eq!(issuer.asked_for("b").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_never_answered_is_no_refusal_and_is_asked_seldom() {
        let issuer = Issuer::with(&[], None);
        issuer.now_has(None);
        for _ in 0..10 {
            assert_eq!(issuer.asked_for("a").await, Err(NoKey::Unavailable));
        }
        assert_eq!(issuer.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_does_not_begin_another_fetch() {
        let issuer = Issuer::with(&["a"], None);
        for _ in 0..10 {
            let asked = tokio::time::timeout(Duration::from_millis(5), issuer.asked_for("x")).await;
            assert!(asked.is_err(), "still under way");
        }
        assert_eq!(issuer.asked_for("a").await, Ok(()));
        assert_eq!(issuer.fetches(), 1);
    }
}
