//! The bounds of one socket.

use std::time::Duration;

/// What one socket may cost.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// Frames that may wait for the client to read.
    pub frames: usize,
    /// Bytes that may wait. One frame alone may be larger.
    pub bytes: usize,
    /// The largest message of a client, in bytes.
    pub message: usize,
    /// How long a close may take: what waits is written and the client's own close is awaited.
    pub linger: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self { frames: 256, bytes: 1024 * 1024, message: 64 * 1024, linger: Duration::from_secs(5) }
    }
}
