//! Who else **reads** the log? Consumers: external programs. Each has durables under its name, credentials with the
//! fewest permissions that work, and a starter program.
//!
//! An operator adds and removes them. The durables of a consumer decide what it reads, and it cannot change them. Its
//! credentials let it request the next events of these durables, and nothing else.

mod adding;
mod ending;
mod filter;
mod looking;
mod office;
mod replaying;
mod snippet;
mod watching;

pub(crate) use crate::accounts::By;
pub(crate) use crate::authority::with_password as user_with_password;
pub(crate) use adding::{Added, WantedConsumer, add, is_there, may_add, needs_no_binding};
pub(crate) use ending::{nothing_is_overdue, remove, revoke_overdue, rotate, sweep};
pub(crate) use filter::ConsumerFilter;
pub(crate) use looking::{ConsumerActivity, ListedConsumer, find, gone_and_overdue, list, parked};
pub(crate) use office::{ConsumerError, Office, Revoker, ScopedKey};
pub(crate) use replaying::{read_anew, replay_parked};
pub(crate) use snippet::{Language, Snippet};
pub(crate) use watching::watch;
