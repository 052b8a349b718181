//! Who else **reads** the log? Consumers: somebody else's programs, each with durables of its name, credentials with the
//! least permissions that work, and a program that runs.
//!
//! An operator adds and removes them. What a consumer reads is decided by its durables, which it cannot change; its
//! credentials let it ask for the next event of these, and nothing else.

mod adding;
mod ending;
mod filter;
mod looking;
mod office;
mod replaying;
mod snippet;

pub(crate) use adding::{add, is_there};
pub(crate) use ending::{remove, rotate, sweep};
pub(crate) use filter::ConsumerFilter;
pub(crate) use looking::{list, parked};
pub(crate) use office::{ConsumerError, Office, Revoker, ScopedKey};
pub(crate) use replaying::{read_anew, replay_parked};
pub(crate) use snippet::{Language, Snippet};
