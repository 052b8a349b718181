//! The settings of a listener.

use std::time::Duration;

use crate::listen::{pages::Origins, proxies::Proxies, tls::Tls};

/// The settings of a listener.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The limits on the cost of unauthenticated clients.
    pub limits: Limits,
    /// The web pages that may read the responses of every endpoint. `None` if this listener does not check origins.
    pub origins: Option<Origins>,
    /// The peers that are trusted to name the client's address.
    pub proxies: Proxies,
    /// TLS, if this listener uses it. A listener with TLS accepts nothing else.
    pub tls: Option<Tls>,
}

/// The limits of one connection, and of all connections together. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The number of concurrent HTTP connections; further ones wait in the kernel. An upgraded connection no longer
    /// counts here, because the gateway counts its sockets itself.
    pub connections: usize,
    /// The number of connections from one address on which no request has carried a valid access token. Beyond this
    /// number, the oldest connection that waits for its client is closed. There is no such limit for a trusted proxy,
    /// because it speaks for many clients.
    pub newcomers: usize,
    /// The longest request target. A longer one gets 414.
    pub uri: usize,
    /// The total size of a request's header lines. More gets 431.
    pub headers: usize,
    /// The number of a request's header lines. More gets 431.
    pub header_lines: usize,
    /// The largest body of a request. A larger one gets 413.
    pub body: usize,
    /// How long a TLS handshake may take.
    pub handshake_within: Duration,
    /// How long a request's head may take, and how long a connection may stay idle.
    pub head_within: Duration,
    /// How long a request's body may take. A slower one gets 408.
    pub body_within: Duration,
    /// How long a client may leave a response unread before it is cut off.
    pub write_within: Duration,
    /// How long requests in flight may take to end after `stop`.
    pub stop_within: Duration,
}

/// The most bytes in a request's body. Code behind the door does not check them again.
pub const BODY: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            newcomers: 4_096,
            uri: 8 * 1024,
            headers: 16 * 1024,
            header_lines: 100,
            body: BODY,
            handshake_within: Duration::from_secs(10),
            // This also ends idle connections, so the proxies in `deploy/proxy` give them up after 8 s.
            head_within: Duration::from_secs(9),
            body_within: Duration::from_secs(29),
            write_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(10),
        }
    }
}
