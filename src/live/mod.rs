//! What this process **knows** because it follows the log and hears signals: the rosters that authorisation is decided
//! on, watermarks, recent events, revoked logins and blocks, and which followers have to be woken.
//!
//! One task follows each stream ([`Stream`]), in every process, whatever its roles. A roster is read from the log when
//! a command first needs it, and that task keeps the roster current from then on. Nothing here decides what a woken
//! follower may see: the follower asks the feed for its events.

mod api_keys;
mod conversations;
mod current;
mod doubted;
mod followers;
mod grown;
mod known;
mod lately;
mod receipts;
mod register;
mod searched;
mod signals;
mod stream;
mod tracked;
mod verdict;

pub mod blocked;
pub mod revoked;

pub use self::{
    api_keys::ApiKeys,
    blocked::{Blocked, Blocklist, contains as is_blocked},
    conversations::{Applied, Conversations},
    current::Current,
    followers::{Follower, Followers, Full, Most},
    grown::Grown,
    lately::{Lately, Shown},
    receipts::Receipts,
    revoked::{Ended, Revoked},
    searched::Searched,
    signals::{HeardSignals, Told},
    stream::{Batch, Step, Stream},
    tracked::Tracked,
    verdict::Verdict,
};

pub(crate) use self::receipts::{ToldMarks, higher};
