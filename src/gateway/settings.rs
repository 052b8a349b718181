//! The settings of the gateway.

use std::time::Duration;

use crate::{gateway::wire::limits::SocketLimits, listen::Origins};

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The web pages that may connect.
    pub origins: Origins,
    /// The most sockets of one user on this node.
    pub sockets_per_user: usize,
    /// The most sockets on this node.
    pub sockets: usize,
    /// The time between two heartbeats to every session.
    pub heartbeat: Duration,
    /// The bounds on the cost of one socket.
    pub socket: SocketLimits,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            origins: Origins::Any,
            sockets_per_user: 20,
            sockets: 15_000,
            heartbeat: Duration::from_secs(25),
            socket: SocketLimits::default(),
        }
    }
}
