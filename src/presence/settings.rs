//! The settings of presence: how fast a change is announced, and to how many conversations.

use std::time::Duration;

use crate::log::MARKER;

/// The settings of presence.
#[derive(Debug, Clone, Copy)]
pub struct PresenceSettings {
    /// The grace period: a user who comes back within this time was never away.
    pub grace: Duration,
    /// The most conversations that are notified of a change: the latest ones.
    pub fan_out: i64,
    /// A conversation with more members is not notified: when n members arrive at once, each would be notified of n.
    pub crowd: i64,
    /// How long the marker of a removed entry stays in the bucket, in whole seconds.
    pub marker: Duration,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), fan_out: 200, crowd: 500, marker: MARKER }
    }
}
