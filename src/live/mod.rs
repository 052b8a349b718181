//! What this process **knows** because it follows the log: the rosters on which authorisation is decided, recent
//! events, revoked logins and blocks, and which followers have to be woken.
//!
//! The rosters are read from the log when they are first asked for, and the one follower of each stream keeps them
//! current from then on. A follower that is woken is let in by nothing here: it asks the feed what it may see.

mod conversations;
mod doubted;
mod followers;
mod kept;
mod lately;
mod tracked;

pub mod blocked;
pub mod revoked;

pub use self::{
    blocked::{Blocked, Blocklist, contains as is_blocked},
    conversations::{Applied, Conversations},
    followers::{Follower, Followers, Full, Most, News},
    lately::{Lately, Shown, Verdict},
    revoked::Revoked,
    tracked::Tracked,
};

pub(crate) use kept::Kept;
