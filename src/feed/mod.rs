//! What a user has **missed**: the events of the user's conversations from a cursor on, in order, each with the position
//! of the event before it. Three seconds and three weeks, sockets and REST go the same way.
//!
//! The roster at an event decides who may see the event, by the same fold that commands, hub and views use. The views
//! only name the conversations to look at.
//!
//! A replay of the same log gives a conversation as it was at a point ([`LookBack`]).

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
