//! How long commands may take.

use std::time::Duration;

/// The deadline of a request. The edges enforce the deadline, even if the waits below add up to more. Past
/// the deadline the waits are dropped with the request. An event on its way to the log may still be stored; a
/// retry with the same key finds out.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// How long a command waits until this process has followed the command's own event.
pub(super) const OWN_EVENT: Duration = Duration::from_secs(2);
