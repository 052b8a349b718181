//! Limits how many sockets this node and each of its users may have, from the handshake on.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{domain::UserId, gateway::settings::GatewaySettings, telemetry::METRICS};

/// The most sockets without a valid token that may stand on this node.
const STRANGERS: usize = 256;

/// The places for sockets on this node. They are counted and taken under one lock: between a count and a later socket,
/// a storm of handshakes would pass the limit.
pub struct Places {
    of_node: usize,
    of_user: usize,
    taken: Mutex<AllTaken>,
}

#[derive(Default)]
struct AllTaken {
    count: usize,
    /// The places of each user, and under `None` those of clients without a valid token.
    by_user: HashMap<Option<UserId>, Taken>,
}

#[derive(Default)]
struct Taken {
    seats: usize,
    standing: usize,
}

/// The place of a socket. Dropping it frees the place.
pub struct SocketPlace {
    places: Arc<Places>,
    user: Option<UserId>,
    /// A socket without a seat is only told the reason and closed, because browsers hide the status of a handshake from
    /// the page.
    pub has_seat: bool,
}

/// Why there is no place for another socket, not even to stand. Only the response to the request can give the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The node has too many sockets.
    Node,
    /// The user has too many sockets.
    User,
}

impl Places {
    /// The places that the settings allow.
    pub fn of(settings: &GatewaySettings) -> Self {
        Self { of_node: settings.sockets, of_user: settings.sockets_per_user, taken: Mutex::default() }
    }

    /// Whether the node has no place left.
    pub fn are_full(&self) -> bool {
        self.taken().count >= self.of_node
    }

    /// Takes a place for another socket of a user. Beside the seats of a user, as many more sockets may stand.
    pub fn take(self: &Arc<Self>, user: UserId) -> Result<SocketPlace, NoRoom> {
        self.place(Some(user), self.of_user, self.of_user)
    }

    /// Takes a place to stand for a client without a valid token.
    pub fn stand(self: &Arc<Self>) -> Result<SocketPlace, NoRoom> {
        self.place(None, 0, STRANGERS)
    }

    fn place(
        self: &Arc<Self>,
        user: Option<UserId>,
        seats: usize,
        standing: usize,
    ) -> Result<SocketPlace, NoRoom> {
        let mut all = self.taken();
        if all.count >= self.of_node {
            return Err(NoRoom::Node);
        }
        let taken = all.by_user.entry(user).or_default();
        let has_seat = taken.seats < seats;
        let (of_kind, most) =
            if has_seat { (&mut taken.seats, seats) } else { (&mut taken.standing, standing) };
        if *of_kind >= most {
            return Err(NoRoom::User);
        }
        *of_kind += 1;
        all.count += 1;
        METRICS.sockets.inc();
        Ok(SocketPlace { places: self.clone(), user, has_seat })
    }

    fn taken(&self) -> MutexGuard<'_, AllTaken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        METRICS.sockets.dec();
        let mut all = self.places.taken();
        all.count -= 1;
        if let Entry::Occupied(mut entry) = all.by_user.entry(self.user) {
            let taken = entry.get_mut();
            *(if self.has_seat { &mut taken.seats } else { &mut taken.standing }) -= 1;
            if taken.seats + taken.standing == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(sockets: usize, sockets_per_user: usize) -> Arc<Places> {
        Arc::new(Places::of(&GatewaySettings { sockets, sockets_per_user, ..GatewaySettings::default() }))
    }

    #[test]
    fn who_stands_takes_no_seat_and_who_leaves_makes_room() {
        let places = places(1_000, 1);
        let user: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id");
        let take = || places.take(user);
        let (seat, standing) = (take().expect("a seat"), take().expect("a place"));
        assert!(seat.has_seat && !standing.has_seat && take().err() == Some(NoRoom::User));
        drop(seat);
        let seat = take().expect("a seat again");
        assert!(seat.has_seat && take().is_err());
        drop((seat, standing));
        let strangers: Vec<SocketPlace> = (0..STRANGERS).map(|_| places.stand().expect("a place")).collect();
        assert!(strangers.iter().all(|place| !place.has_seat) && places.stand().is_err());
        drop(strangers);
        assert!(places.taken().by_user.is_empty(), "who is gone is forgotten");
        assert_eq!(places.taken().count, 0);
    }

    #[test]
    fn a_node_has_so_many_places_for_all_users_together() {
        let places = places(2, 20);
        let user = |n| UserId::known(uuid::Uuid::from_u128(n));
        let first = places.take(user(1)).expect("a seat");
        assert!(!places.are_full());
        let _second = places.take(user(2)).expect("a seat");
        assert!(places.are_full());
        assert_eq!(places.take(user(3)).err(), Some(NoRoom::Node));
        assert_eq!(places.stand().err(), Some(NoRoom::Node));
        assert!(!places.taken().by_user.contains_key(&Some(user(3))), "who gets no place is not kept");
        drop(first);
        assert!(places.take(user(3)).is_ok_and(|place| place.has_seat));
    }
}
