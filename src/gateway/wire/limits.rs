//! The bounds of one socket.

use std::time::Duration;

/// The bounds on the cost of one socket.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// The most frames in the backlog.
    pub frames: usize,
    /// The most bytes in the backlog. One frame alone may be larger.
    pub bytes: usize,
    /// The largest message of a client, in bytes.
    pub message: usize,
    /// The longest time that a close may take, until the backlog is written and the client has closed too.
    pub linger: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { frames: 256, bytes: 1024 * 1024, message: 64 * 1024, linger: Duration::from_secs(5) }
    }
}
