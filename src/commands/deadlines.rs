//! How long commands may take.

use std::time::Duration;

/// The longest time for a request. The edges hold this deadline, whatever the waits below add up to. Past the deadline
/// the waits are dropped with the request. An event on its way to the log may still be stored: a retry with the same
/// key tells.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// How long a command waits until this process has followed the command's own event.
pub(super) const OWN_EVENT: Duration = Duration::from_secs(2);
