//! How much a node catches up and looks back at once, and how much of that one user gets: live users do not feel a
//! storm of reconnects, and no user takes the turns of all others.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::shares::Sizes;

/// Asking the views in which conversations a user is. Each session, and each stream that is woken, asks; there are
/// half as many places as connections to Postgres by default, so that reads always have some.
pub(super) const TO_ASK: Sizes = Sizes {
    of_node: 8,
    of_one: 2,
    waiting_of_one: 126,
    waiting: Semaphore::MAX_PERMITS,
    patience: Duration::from_secs(3),
    longest_rest: Duration::ZERO,
};

/// A user who catches up or looks back without end leaves half of the time to all others.
const REST: Duration = Duration::from_secs(1);

/// Catching up, by a socket or over REST. As many wait as a node has sockets by default: whoever is sent away comes back
/// seconds later and begins anew. Of 10,000 sockets that came back at once, 4,432 were sent away when 4,096 could wait.
pub(super) const TO_CATCH_UP: Sizes = Sizes {
    of_node: 32,
    of_one: 1,
    waiting_of_one: 64,
    waiting: 16_384,
    patience: Duration::from_secs(30),
    longest_rest: REST,
};

/// Looking back. A conversation of 100,000 events takes about a second.
pub(super) const TO_LOOK_BACK: Sizes = Sizes {
    of_node: 4,
    of_one: 1,
    waiting_of_one: 3,
    waiting: 64,
    patience: Duration::from_secs(2),
    longest_rest: REST,
};
