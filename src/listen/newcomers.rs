//! Newcomers: connections on which no request has carried a valid access token yet. One machine can open thousands of
//! silent connections, so each address gets only a share of the places. If the line of an address is full, a new
//! connection takes the place of the oldest one that waits for its client. Many people may share an address, and a
//! client that sends something is served long before its connection is the oldest.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use poem::Request;
use tokio::sync::Notify;

use crate::telemetry::METRICS;

/// The newcomers of all addresses.
pub(super) struct Newcomers {
    most: usize,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    arrivals: u64,
    of: HashMap<IpAddr, BTreeMap<u64, Arc<Newcomer>>>,
}

/// A connection that may still have to make room for a newer one.
#[derive(Default)]
struct Newcomer {
    /// Whether the server is answering a request of the connection, so that it does not wait for its client.
    is_answered: AtomicBool,
    makes_room: Notify,
}

/// The place of a connection in the line of its address. Dropping the value frees the place.
pub(super) struct InLine {
    newcomers: Arc<Newcomers>,
    household: IpAddr,
    arrival: u64,
    newcomer: Arc<Newcomer>,
}

impl Newcomers {
    /// Starts without newcomers. The line of each address has `most` places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, lines: Mutex::default() })
    }

    /// Takes a place for a new connection. `None` if the line is full and the server is answering a request on every
    /// connection in it.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Arc<InLine>> {
        let household = household(address);
        let mut lines = self.lines();
        lines.arrivals += 1;
        let arrival = lines.arrivals;
        let line = lines.of.entry(household).or_default();
        if line.len() >= self.most {
            METRICS.newcomers_closed.inc();
            let oldest = line.iter().find(|(_, newcomer)| !newcomer.is_answered.load(Relaxed));
            let oldest = oldest.map(|(arrival, _)| *arrival)?;
            line.remove(&oldest)?.makes_room.notify_one();
        }
        let newcomer = Arc::<Newcomer>::default();
        line.insert(arrival, newcomer.clone());
        Some(Arc::new(InLine { newcomers: self.clone(), household, arrival, newcomer }))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InLine {
    /// Awaits the answer to a request on the connection. Meanwhile no newer connection can take its place.
    pub(super) async fn during<F: Future>(&self, answering: F) -> F::Output {
        self.newcomer.is_answered.store(true, Relaxed);
        let answer = answering.await;
        self.newcomer.is_answered.store(false, Relaxed);
        answer
    }

    /// Waits until the connection has to make room. That never happens once the connection is no longer a newcomer.
    pub(super) async fn makes_room(&self) {
        self.newcomer.makes_room.notified().await;
    }

    fn leave(&self) {
        let mut lines = self.newcomers.lines();
        if let Some(line) = lines.of.get_mut(&self.household) {
            line.remove(&self.arrival);
            if line.is_empty() {
                lines.of.remove(&self.household);
            }
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Removes the connection of `request` from the newcomers, because the access token of the request is valid.
pub fn is_known(request: &Request) {
    if let Some(in_line) = request.extensions().get::<Arc<InLine>>() {
        in_line.leave();
    }
}

/// An IPv4 address, or the /56 of an IPv6 address, which is the usual prefix of one household.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 72)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[tokio::test]
    async fn the_oldest_that_waits_for_its_client_makes_room_within_its_address() {
        let newcomers = Newcomers::new(2);
        let enter = |address| newcomers.enter(at(address));
        let (first, second) = (enter("192.0.2.1").expect("room"), enter("192.0.2.1").expect("room"));
        let neighbour = enter("192.0.2.2").expect("another address has a line of its own");
        let answering = first.during(async {
            let third = enter("::ffff:192.0.2.1").expect("the second makes room");
            second.makes_room().now_or_never().expect("it has to");
            third
        });
        let third = answering.await;
        let fourth = enter("192.0.2.1").expect("the first is answered no more");
        first.makes_room().now_or_never().expect("it has to");
        for stays in [&neighbour, &third, &fourth] {
            assert!(stays.makes_room().now_or_never().is_none());
        }
        let both = third.during(fourth.during(async { enter("192.0.2.1").is_none() }));
        assert!(both.await, "no answer is cut off");
        drop((first, second, neighbour, third, fourth));
        assert!(newcomers.lines().of.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_household_of_ipv6_has_one_line() {
        assert_eq!(household(at("2001:db8:1:ff00::1")), household(at("2001:db8:1:ffff:ffff::2")));
        assert_ne!(household(at("2001:db8:1:ff00::1")), household(at("2001:db8:1:fe00::1")));
        assert_ne!(household(at("192.0.2.1")), household(at("192.0.2.2")));
    }
}
