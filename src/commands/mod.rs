//! **Making** it happen: load, decide, append, retry. One file for each command.
//!
//! The rules are in [`crate::domain`]; here they meet the log. A command answers when its event is stored. The private
//! settings of a member are the exception: they are a row of [`crate::accounts`], not an event.

pub mod acting;
mod acts;
mod advance;
mod blocks;
mod bound;
mod bringing_in;
mod change;
mod changed_before;
mod charge;
mod deadlines;
mod earlier;
mod existing;
mod invitations;
mod members;
mod messages;
mod needs;
mod provision;
mod refused;
mod roster;
mod send;
mod settings;
mod start;
mod stored;
mod tell;

pub use change::Changed;
pub use deadlines::DEADLINE;
pub use existing::NotBroughtIn;
pub use needs::{Commands, Needs};
pub use provision::{HostConversation, NotProvisioned, ProvisionedConversation, Written};
pub use refused::Refused;
pub use send::Sent;
pub use settings::NotSettled;
pub use start::Started;

pub(crate) use crate::accounts::SettingChanges;
pub(crate) use crate::log::{CONTRACT, Durability, Layout, Unavailable};
