//! How long commands may take.

use std::time::Duration;

/// The longest that a request may take; the edges hold it, whatever the waits below add up to. A wait that is
/// over is dropped with the request. What it has given to the log may still be stored: the same key tells.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// How long a command waits until this process has followed what it has appended itself.
pub(super) const OWN_EVENT: Duration = Duration::from_secs(2);
