//! Hashing passwords with argon2id, in a bounded number of threads.

use std::{fmt, num::NonZero, sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use aws_lc_rs::rand;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::{
    credentials::Password,
    shares::{Place, Shares, Sizes},
};

/// The cost of a hash. The default is OWASP's choice for argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Memory in KiB, 8 to 262,144, and at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 16.
    pub passes: u32,
    /// Lanes, 1 to 4.
    pub lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2, lanes: 1 }
    }
}

impl Cost {
    /// Whether the cost is one of those that OWASP recommends for argon2id, or above one.
    pub(crate) fn is_enough(self) -> bool {
        const RECOMMENDED: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];
        RECOMMENDED
            .iter()
            .any(|(memory_kib, passes)| self.memory_kib >= *memory_kib && self.passes >= *passes)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB and {} passes", self.memory_kib, self.passes)
    }
}

/// The cost is outside the bounds of argon2 or [`Hasher`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a password hash takes 8 to 262144 KiB (at least 8 for each lane), 1 to 16 passes and 1 to 4 lanes")]
pub(crate) struct BadCost;

/// More passwords are waiting to be hashed than this machine can hash in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many passwords are being checked: try again in a moment")]
pub(crate) struct Busy;

/// A hash as stored: a PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(String);

impl PasswordHash {
    /// The PHC string.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A hash read back from Postgres. The hash is not trusted: [`Turn::verify`] checks its cost before using
    /// it.
    pub(crate) fn stored(phc: String) -> Self {
        Self(phc)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The result of a password check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordCheck {
    /// The password is wrong, or there is no account.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, but its hash does not have the current cost and should be renewed.
    RightButStale,
}

/// Gives out the turns to hash. There are as many turns as cores, and one holder gets at most half of them
/// (rounded up), so that a flood from one group of addresses does not keep other users from logging in.
/// Clones share these bounds.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    params: Params,
    nobody: PasswordHash,
    places: Shares<u64>,
}

/// A turn to hash. The turn ends when its last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    params: Params,
    nobody: PasswordHash,
    place: Arc<Place<u64>>,
}

/// The maximum number of requests that wait for a turn on a node.
const WAITING: usize = 256;
/// The maximum number of requests of one holder that wait for a turn. Many people may share a group of addresses, so
/// most of the places are for one group, and the rest stays free for the others.
const WAITING_OF_ONE: usize = 192;
/// The longest wait behind requests of the same holder, and then again behind those of other holders.
const PATIENCE: Duration = Duration::from_secs(5);

impl Hasher {
    /// A hasher with this cost.
    pub(crate) fn new(cost: Cost) -> Result<Self, BadCost> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let sizes = Sizes {
            of_node: cores,
            of_one: cores.div_ceil(2),
            waiting_of_one: WAITING_OF_ONE,
            waiting: WAITING,
            patience: PATIENCE,
            longest_rest: Duration::ZERO,
        };
        Self::bounded(cost, sizes)
    }

    fn bounded(cost: Cost, sizes: Sizes) -> Result<Self, BadCost> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(Params::DEFAULT_OUTPUT_LEN))
            .ok()
            .filter(is_affordable)
            .ok_or(BadCost)?;
        let nobody = hash_of_nobody(&params).ok_or(BadCost)?;
        Ok(Self { params, nobody, places: Shares::new(sizes) })
    }

    /// Waits for a turn of a holder.
    pub(crate) async fn turn(&self, holder: u64) -> Result<Turn, Busy> {
        let place = self.places.take(holder).await.map_err(|_| Busy)?;
        Ok(Turn { params: self.params.clone(), nobody: self.nobody.clone(), place: place.into() })
    }
}

impl Turn {
    /// Hashes with a new salt of 16 bytes.
    #[expect(clippy::disallowed_methods, reason = "a salt is drawn where it is used")]
    pub(crate) async fn hash(&self, password: &Password) -> Result<PasswordHash, Busy> {
        let (params, password) = (self.params.clone(), password.clone());
        self.compute(move || {
            let mut salt = [0; 16];
            rand::fill(&mut salt).ok()?;
            let hash = Argon2::from(params).hash_password_with_salt(password.bytes(), &salt).ok()?;
            Some(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Compares a password with a stored hash. Without a hash (no such account), the answer is
    /// [`PasswordCheck::Wrong`] after the same time as with one. A hash that is malformed or would cost too
    /// much is rejected before memory is allocated, and gets the same answer after the same time.
    pub(crate) async fn verify(
        &self,
        password: &Password,
        stored: Option<&PasswordHash>,
    ) -> Result<PasswordCheck, Busy> {
        let trusted = stored.and_then(trusted);
        let stale = trusted.as_ref().is_some_and(|(_, params)| !self.is_todays(params));
        let hash = match trusted {
            Some((hash, _)) => hash,
            None => phc::PasswordHash::new(self.nobody.as_str()).map_err(|_| Busy)?,
        };
        let password = password.clone();
        self.compute(move || match (Argon2::default().verify_password(password.bytes(), &hash), stale) {
            (Ok(()), false) => Some(PasswordCheck::Right),
            (Ok(()), true) => Some(PasswordCheck::RightButStale),
            (Err(argon2::password_hash::Error::PasswordInvalid), _) => Some(PasswordCheck::Wrong),
            (Err(_), _) => None,
        })
        .await
    }

    fn is_todays(&self, params: &Params) -> bool {
        let figures = |p: &Params| (p.m_cost(), p.t_cost(), p.p_cost(), p.output_len());
        figures(params) == figures(&self.params)
    }

    /// Runs the work in a thread of its own. The thread holds the turn too: a client that disconnects must
    /// not free a turn whose thread is still working, or there would be more threads than turns. A lack of
    /// memory or randomness (`None`) also returns [`Busy`].
    async fn compute<T, F>(&self, work: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> Option<T> + Send + 'static,
    {
        let place = self.place.clone();
        let done = spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.ok().flatten().ok_or(Busy)
    }
}

fn is_affordable(params: &Params) -> bool {
    params.m_cost() <= 256 * 1024 && params.t_cost() <= 16 && params.p_cost() <= 4
}

/// The parsed hash and its cost, if the hash is argon2id with an affordable cost.
fn trusted(stored: &PasswordHash) -> Option<(phc::PasswordHash, Params)> {
    let hash = phc::PasswordHash::new(stored.as_str()).ok()?;
    let ours = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into())
        && hash.salt.is_some()
        && hash.hash.is_some();
    let params = Params::try_from(&hash).ok().filter(is_affordable)?;
    ours.then_some((hash, params))
}

/// The hash for comparisons without a stored hash. It has the same cost, and no known password matches it.
fn hash_of_nobody(params: &Params) -> Option<PasswordHash> {
    let hash = phc::PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).ok()?,
        salt: Some(Salt::new(&[0; 16]).ok()?),
        hash: Some(Output::new(&[0; Params::DEFAULT_OUTPUT_LEN]).ok()?),
    };
    Some(PasswordHash(hash.to_string()))
}

#[cfg(test)]
mod tests {

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    /// A turn of a hasher without other holders.
    async fn turn(cost: Cost) -> Turn {
        Hasher::new(cost).expect("hasher").turn(0).await.expect("a turn")
    }

    fn password(typed: &str) -> Password {
        Password::present(typed.to_owned()).expect("password")
    }

    #[tokio::test]
    async fn only_the_same_characters_are_right() {
        let hasher = turn(CHEAP).await;
        let hash = hasher.hash(&password("caf\u{e9} \u{a0} noir")).await.expect("hash");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.as_str());
        let verify = |typed| {
            let (hasher, hash, typed) = (hasher.clone(), hash.clone(), password(typed));
            async move { hasher.verify(&typed, Some(&hash)).await }
        };
        assert_eq!(verify("caf\u{e9} \u{a0} noir").await, Ok(PasswordCheck::Right));
        assert_eq!(verify("cafe\u{301}   noir").await, Ok(PasswordCheck::Right));
        assert_eq!(verify("cafe   noir").await, Ok(PasswordCheck::Wrong));
        assert_eq!(verify("caf\u{e9} ").await, Ok(PasswordCheck::Wrong));
        assert_eq!(verify("").await, Ok(PasswordCheck::Wrong));
        assert_ne!(hasher.hash(&password("same same")).await, hasher.hash(&password("same same")).await);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_to_be_renewed() {
        let old = turn(CHEAP).await;
        let new = turn(Cost { passes: 2, ..CHEAP }).await;
        let hash = old.hash(&password("long ago")).await.expect("hash");
        assert_eq!(new.verify(&password("long ago"), Some(&hash)).await, Ok(PasswordCheck::RightButStale));
        assert_eq!(new.verify(&password("long  ago"), Some(&hash)).await, Ok(PasswordCheck::Wrong));
    }

    #[tokio::test]
    async fn an_unknown_account_costs_no_less_than_a_known_one() {
        let hasher = turn(Cost { memory_kib: 8192, passes: 3, lanes: 1 }).await;
        assert_eq!(hasher.verify(&password("some password"), None).await, Ok(PasswordCheck::Wrong));
        // The same computation with the same parameters takes the same time.
        let (_, params) = trusted(&hasher.nobody).expect("the hash of nobody is computed, too");
        assert!(hasher.is_todays(&params));
    }

    fn tampered(figures: &str) -> PasswordHash {
        PasswordHash::stored(format!(
            "$argon2id$v=19${figures}$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
        ))
    }

    #[tokio::test]
    async fn a_stored_hash_that_would_cost_too_much_is_refused_before_it_is_computed() {
        for figures in ["m=64,t=1,p=1", "m=262144,t=16,p=4"] {
            assert!(trusted(&tampered(figures)).is_some(), "{figures} is affordable");
        }
        for figures in [
            "m=4194304,t=1,p=1",
            "m=4294967296,t=1,p=1",
            "m=262145,t=1,p=1",
            "m=64,t=4294967296,p=1",
            "m=64,t=4294967295,p=1",
            "m=64,t=17,p=1",
            "m=64,t=1,p=5",
        ] {
            assert!(trusted(&tampered(figures)).is_none(), "{figures}");
        }
        let hasher = turn(CHEAP).await;
        let stored = tampered("m=4194304,t=4294967295,p=1");
        assert_eq!(hasher.verify(&password("x"), Some(&stored)).await, Ok(PasswordCheck::Wrong));
    }

    #[tokio::test]
    async fn a_broken_stored_hash_fits_no_password() {
        let hasher = turn(CHEAP).await;
        let other = tampered("m=64,t=1,p=1").as_str().replace("argon2id", "argon2d");
        for broken in ["", "x", "$argon2id$v=19$m=64,t=1,p=1", &other, "$1$a$b"] {
            let stored = PasswordHash::stored(broken.to_owned());
            assert!(trusted(&stored).is_none(), "{broken}");
            assert_eq!(
                hasher.verify(&password("x"), Some(&stored)).await,
                Ok(PasswordCheck::Wrong),
                "{broken}"
            );
        }
    }

    fn sizes(of_node: usize, of_one: usize) -> Sizes {
        Sizes {
            of_node,
            of_one,
            waiting_of_one: 2,
            waiting: 2,
            patience: PATIENCE,
            longest_rest: Duration::ZERO,
        }
    }

    async fn verify(hasher: &Hasher, holder: u64) -> Result<PasswordCheck, Busy> {
        hasher.turn(holder).await?.verify(&password("x"), None).await
    }

    #[tokio::test]
    async fn a_request_beyond_the_queue_is_sent_away() {
        let cost = Cost { memory_kib: 8192, passes: 4, lanes: 1 };
        let hasher = Hasher::bounded(cost, sizes(1, 1)).expect("hasher");
        let five = (0..5).map(|_| verify(&hasher, 0));
        let answers = futures_util::future::join_all(five).await;
        assert_eq!(answers.iter().filter(|answer| **answer == Ok(PasswordCheck::Wrong)).count(), 3);
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Busy)).count(), 2);
        assert_eq!(verify(&hasher, 0).await, Ok(PasswordCheck::Wrong), "room again");
    }

    #[tokio::test]
    async fn a_holder_who_takes_all_turns_keeps_nobody_else_from_one() {
        let hasher = Hasher::bounded(CHEAP, sizes(2, 1)).expect("hasher");
        let _taken = hasher.turn(1).await.expect("a turn");
        let _waits: Vec<_> = (0..2).map(|_| Box::pin(hasher.turn(1))).collect();
        assert_eq!(verify(&hasher, 2).await, Ok(PasswordCheck::Wrong));
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        for cost in [
            Cost { memory_kib: 0, ..CHEAP },
            Cost { memory_kib: 262_145, ..CHEAP },
            Cost { passes: 0, ..CHEAP },
            Cost { passes: 17, ..CHEAP },
            Cost { lanes: 0, ..CHEAP },
            Cost { lanes: 5, ..CHEAP },
            Cost { memory_kib: 16, lanes: 4, ..CHEAP },
        ] {
            assert_eq!(Hasher::new(cost).err(), Some(BadCost), "{cost:?}");
        }
        assert!(Hasher::new(Cost::default()).is_ok());
    }
}
