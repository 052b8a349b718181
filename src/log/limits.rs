//! Limits that several parts of the log share.

use std::time::Duration;

/// How long an append is retried before the answer is 503.
pub const APPEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long one request to the log may take before it is tried again.
pub(in crate::log) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long JetStream remembers a `Nats-Msg-Id`.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// The maximum size of one event with its headers, in bytes.
pub(crate) const MAX_EVENT_BYTES: i32 = 96 * 1024;
