//! What a user has **missed**: the events of the user's conversations from a cursor on, in order, each with the
//! position of the event before it. The code path is the same after three seconds as after three weeks, for sockets and
//! for REST.
//!
//! The roster at an event decides which users may see it, by the same fold that commands, hub and views use. The views
//! only name the conversations to read.
//!
//! A replay of the same log returns a conversation as it was at a point ([`LookBack`]).

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

pub(crate) use crate::views::{Memberships, Stay};
