//! What a user has **missed**: the events of their conversations from a cursor on, in order, each
//! with the position of the one before it. One path for three seconds and three weeks, for sockets
//! and for REST.
//!
//! Who may see an event is decided by the roster as it was at that event, with the same fold that
//! commands, hub and views use. The views only tell which conversations to look at.
//!
//! The same log, read again, tells how a conversation was at a point ([`LookBack`]).

mod behind;
mod catch_up;
mod cursor;
mod folds;
mod missed;
mod past;
mod points;
mod remembered;
mod shares;
mod standing;

pub use behind::Behind;
pub use catch_up::Feed;
pub use cursor::Reset;
pub use missed::{Missed, MissedPage};
pub use past::{LookBack, PastError};

pub use crate::views::{Memberships, Stay};
