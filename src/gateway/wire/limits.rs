//! The limits of one socket.

use std::time::Duration;

/// The limits on the cost of one socket.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// The most frames in the backlog.
    pub frames: usize,
    /// The most bytes in the backlog. A single frame may be larger.
    pub bytes: usize,
    /// The largest message from a client, in bytes.
    pub message: usize,
    /// The longest time that closing may take, until the backlog has been written and the client has closed too.
    pub linger: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { frames: 256, bytes: 1024 * 1024, message: 64 * 1024, linger: Duration::from_secs(5) }
    }
}
