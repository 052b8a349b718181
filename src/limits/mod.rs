//! How **often**: rate limits, the same on all nodes.
//!
//! Each process counts in its own memory ([`RateLimits`]), without a round trip. Ten times a second it tells the other
//! nodes which units it has admitted, and they count the same units too ([`gossip`]). So in the long run a limit is
//! exact however many nodes there are; a burst that hits N nodes at once can pass N times, once. Without NATS a process
//! continues with its own budgets.

mod check;
mod gcra;
pub(crate) mod gossip;
mod key;
mod map;
pub(crate) mod noted;
mod own;
mod policy;
mod rate;
mod siphash;

pub(crate) use check::Meter;
pub use check::{Exceeded, RateLimits};
pub use key::BudgetKey;
pub use noted::{AppliedPolicy, Noted};
pub use own::{BadOwnLimit, OwnLimits};
pub use policy::{Policy, Rates};
pub use rate::{PolicyLimit, Rate};
