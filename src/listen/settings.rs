//! The settings of a listener.

use std::time::Duration;

use crate::listen::{pages::Origins, proxies::Proxies, tls::Tls};

/// The settings of a listener.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The bounds on the cost of strangers.
    pub limits: Limits,
    /// Which web pages may read the answers of every endpoint. `None`: this listener decides nothing about
    /// origins.
    pub origins: Option<Origins>,
    /// The peers whose word about the client's address is trusted.
    pub proxies: Proxies,
    /// TLS, if this listener speaks it. A listener with TLS speaks nothing else.
    pub tls: Option<Tls>,
}

/// The limits of one connection, and of all connections together. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// HTTP connections at a time; further ones wait in the kernel. An upgraded connection no longer counts
    /// here, because the gateway counts its sockets itself.
    pub connections: usize,
    /// Connections of one address on which no request has carried a valid access token. Beyond this number,
    /// the oldest connection that waits for its client is closed. A trusted proxy speaks for many clients, so
    /// it has no such bound.
    pub newcomers: usize,
    /// The longest request target; 414 beyond it.
    pub uri: usize,
    /// All header lines of a request together; 431 beyond it.
    pub headers: usize,
    /// The number of header lines of a request; 431 beyond it.
    pub header_lines: usize,
    /// The body of a request; 413 beyond it.
    pub body: usize,
    /// How long a TLS handshake may take.
    pub handshake_within: Duration,
    /// How long a request's head may take, and how long a connection may stay idle.
    pub head_within: Duration,
    /// How long a request's body may take; 408 after it.
    pub body_within: Duration,
    /// How long a client may leave an answer unread before it is cut off.
    pub write_within: Duration,
    /// How long requests in flight may take to end after `stop`.
    pub stop_within: Duration,
}

/// The most bytes of a request's body. Code behind the door does not count them again.
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
            head_within: Duration::from_secs(10),
            body_within: Duration::from_secs(30),
            write_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(10),
        }
    }
}
