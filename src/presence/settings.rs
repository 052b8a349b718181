//! The settings of presence: who is told, and how fast.

use std::time::Duration;

/// The settings of presence.
#[derive(Debug, Clone, Copy)]
pub struct PresenceSettings {
    /// A user who comes back within this time was never away.
    pub grace: Duration,
    /// The most conversations that are told of one change: those that moved last.
    pub fan_out: i64,
    /// A conversation with more members is not told: of n who come at once, each would be told of n.
    pub crowd: i64,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), fan_out: 200, crowd: 500 }
    }
}
