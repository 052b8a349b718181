//! Refusals of clients that ask too much. A refusal is cheap, but a client that does not heed it could have all the time
//! of a node for the next one, on one connection or on a new connection each. So the refusals of an address leave
//! at a bounded rate, and their line is one for all its connections. A client that waits after a refusal never meets
//! the line, and answers that are no refusals never wait in it.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::listen::newcomers::household;

/// The refusals that leave at once.
pub(super) const AT_ONCE: u32 = 100;
/// The time between two further refusals.
pub(super) const EVERY: Duration = Duration::from_millis(4);
/// The longest wait of a refusal. Newer ones leave together with the last one in the line.
pub(super) const LONGEST: Duration = Duration::from_secs(4);

/// How many lines there are. Addresses with the same line wait for one another, in their refusals only.
const LINES: usize = 4_096;

/// The lines of all addresses. An address has the line of its hash, so their number is bounded without forgetting any.
/// The hash has a key of this process: otherwise a client could choose an address whose line is another client's.
pub(super) struct Refusals {
    hash: RandomState,
    /// When the last refusal in each line leaves.
    end: Box<[Mutex<Option<Instant>>]>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { hash: RandomState::new(), end: (0..LINES).map(|_| Mutex::default()).collect() }
    }
}

impl Refusals {
    /// Takes a place in the line of an address, and tells how long the refusal has to wait.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        let line = self.hash.hash_one(household(address)) as usize % LINES;
        let mut end = self.end[line].lock().unwrap_or_else(PoisonError::into_inner);
        // An empty line ends so far back that the first refusals find its end in the past.
        let empty = now.checked_sub(EVERY * AT_ONCE).unwrap_or(now);
        let leaves = (end.map_or(empty, |end| end.max(empty)) + EVERY).min(now + LONGEST);
        *end = Some(leaves);
        leaves.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusals_of_an_address_leave_at_a_bounded_rate() {
        let (refusals, now) = (Refusals::default(), Instant::now() + Duration::from_secs(3_600));
        let waits: Vec<_> = (0..2_000).map(|_| refusals.wait(address(1), now)).collect();
        let (at_once, line) = waits.split_at(AT_ONCE as usize);
        assert!(at_once.iter().all(Duration::is_zero));
        for (n, wait) in (1..).zip(line) {
            assert_eq!(*wait, (EVERY * n).min(LONGEST));
        }
        assert_eq!(refusals.wait(address(1), now + LONGEST), EVERY, "the line has left");
        let later = now + 2 * LONGEST;
        assert!((0..AT_ONCE).all(|_| refusals.wait(address(1), later).is_zero()), "all is as before");
    }

    #[tokio::test(start_paused = true)]
    async fn other_addresses_hardly_ever_wait() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..1_000 {
            refusals.wait(address(0), now);
        }
        let wait = (1..=100).filter(|n| !refusals.wait(address(*n), now).is_zero()).count();
        assert!(wait <= 2, "{wait}");
    }
}
