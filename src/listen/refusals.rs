//! Slows down refusals for clients that send too many requests. A refusal is cheap, but a client that ignores it could
//! take all the time of a node for further refusals, on one connection or on a new connection for each. So the refusals
//! for an address leave at a limited rate, from one queue for all its connections. A client that waits after a refusal
//! never meets the queue, and responses that are not refusals never wait in it.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::listen::newcomers::household;

/// The number of refusals that leave at once.
pub(super) const AT_ONCE: u32 = 100;
/// The time between two further refusals.
pub(super) const EVERY: Duration = Duration::from_millis(4);
/// The longest wait of a refusal. Newer ones leave together with the last one in the queue.
pub(super) const LONGEST: Duration = Duration::from_secs(4);

/// The number of queues. Addresses that share a queue wait for one another, but only in their refusals.
const LINES: usize = 4_096;

/// The queues of all addresses. The hash of an address selects its queue, so the number of queues is bounded and none
/// has to be forgotten. The hash has a key of this process. Without it, a client could choose an address that shares
/// another client's queue.
pub(super) struct Refusals {
    hash: RandomState,
    /// When the last refusal in each queue leaves.
    end: Box<[Mutex<Option<Instant>>]>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { hash: RandomState::new(), end: (0..LINES).map(|_| Mutex::default()).collect() }
    }
}

impl Refusals {
    /// Takes a place in the queue of an address, and returns how long the refusal has to wait.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        let line = self.hash.hash_one(household(address)) as usize % LINES;
        let mut end = self.end[line].lock().unwrap_or_else(PoisonError::into_inner);
        // The end of an empty queue is so far back that the first refusals still have it in the past.
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
