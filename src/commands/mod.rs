//! **Making** it happen: load, decide, append, retry. One file for each thing that a client can do.
//!
//! The rules are in [`crate::domain`]; here they meet the log. A command answers when its event is
//! stored.

mod acts;
mod advance;
mod blocks;
mod bound;
mod bringing_in;
mod change;
mod charge;
mod deadlines;
mod earlier;
mod members;
mod messages;
mod needs;
mod refused;
mod roster;
mod send;
mod start;
mod stored;
mod tell;

pub use acts::Acted;
pub use change::Changed;
pub use deadlines::DEADLINE;
pub use needs::{Commands, Needs};
pub use refused::Refused;
pub use send::Sent;
pub use start::Started;

pub use crate::log::{CONTRACT, Durability, Layout, Unavailable};
