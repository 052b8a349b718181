//! Limits how much a node catches up and looks back at once, and how much of that one user gets: live users do not
//! notice a storm of reconnects, and no user takes the turns of all others.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::shares::Sizes;

/// Queries of the views for a user's conversations. Each session, and each stream that is woken, makes them. By default
/// there are half as many places as connections to Postgres, so that reads always have some.
pub(super) const TO_ASK: Sizes = Sizes {
    of_node: 8,
    of_one: 2,
    waiting_of_one: 126,
    waiting: Semaphore::MAX_PERMITS,
    patience: Duration::from_secs(3),
    longest_rest: Duration::ZERO,
};

/// A user who catches up or looks back endlessly leaves half of the time to all others.
const REST: Duration = Duration::from_secs(1);

/// Catching up, by a socket or over REST. As many clients can wait as a node has sockets by default, because a rejected
/// client returns seconds later and starts over. Of 10,000 sockets that came back at once, 4,432 were rejected when
/// 4,096 could wait.
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
