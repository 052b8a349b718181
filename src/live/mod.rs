//! What this process **knows** because it follows the log: for now, who has to be woken when
//! something happens.
//!
//! The hub follows each stream once and tells what it has read. Nothing is decided here, so nothing
//! here can let anybody in: a follower that is woken asks the feed what it may see.

mod followers;

pub use followers::{Follower, Followers, Full, Most, News};

pub mod blocked;
pub mod revoked;

pub use self::{
    blocked::{Blocked, Blocklist, contains as is_blocked},
    revoked::Revoked,
};
