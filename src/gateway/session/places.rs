//! Limits how many sockets a user may have on this node, from the handshake on.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{domain::UserId, telemetry::METRICS};

/// The most sockets without a valid token that may stand on this node.
const STRANGERS: usize = 256;

/// The places of all users, and under `None` those of clients without a valid token.
#[derive(Default)]
pub struct Places(Mutex<HashMap<Option<UserId>, Taken>>);

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

impl Places {
    /// Takes a place for another socket of a user who may have `most` of them. As many more may stand. `None` if there
    /// is no room even to stand, so only the response to the request can give the reason.
    pub fn take(self: &Arc<Self>, user: UserId, most: usize) -> Option<SocketPlace> {
        self.place(Some(user), most, most)
    }

    /// Takes a place to stand for a client without a valid token. `None` if there is no room, so only the response to
    /// the request can give the reason.
    pub fn stand(self: &Arc<Self>) -> Option<SocketPlace> {
        self.place(None, 0, STRANGERS)
    }

    fn place(self: &Arc<Self>, user: Option<UserId>, seats: usize, standing: usize) -> Option<SocketPlace> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(user).or_default();
        let has_seat = taken.seats < seats;
        let (of_kind, most) =
            if has_seat { (&mut taken.seats, seats) } else { (&mut taken.standing, standing) };
        if *of_kind >= most {
            return None;
        }
        *of_kind += 1;
        METRICS.sockets.inc();
        Some(SocketPlace { places: self.clone(), user, has_seat })
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        METRICS.sockets.dec();
        let mut all = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = all.entry(self.user) {
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

    #[test]
    fn who_stands_takes_no_seat_and_who_leaves_makes_room() {
        let places = Arc::new(Places::default());
        let user: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id");
        let take = || places.take(user, 1);
        let (seat, standing) = (take().expect("a seat"), take().expect("a place"));
        assert!(seat.has_seat && !standing.has_seat && take().is_none());
        drop(seat);
        let seat = take().expect("a seat again");
        assert!(seat.has_seat && take().is_none());
        drop((seat, standing));
        let strangers: Vec<SocketPlace> = (0..STRANGERS).map(|_| places.stand().expect("a place")).collect();
        assert!(strangers.iter().all(|place| !place.has_seat) && places.stand().is_none());
        drop(strangers);
        assert!(places.0.lock().expect("no panic").is_empty(), "who is gone is forgotten");
    }
}
