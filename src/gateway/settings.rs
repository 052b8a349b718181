//! The settings of the gateway.

use std::time::Duration;

use crate::{gateway::wire::limits::SocketLimits, listen::Origins};

/// The settings of the gateway.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Which web pages may connect.
    pub origins: Origins,
    /// The most sockets of one user on this node.
    pub sockets_per_user: usize,
    /// The most sockets on this node.
    pub sockets: usize,
    /// How often every session gets a sign of life.
    pub heartbeat: Duration,
    /// What one socket may cost.
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
