//! The state that all sessions of this node share.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::{
    access::Bearers,
    clock::Clock,
    commands::Commands,
    feed::Feed,
    gateway::{
        frames::{close::Close, server::ReadyLimits},
        hub::{changed_users::ChangedUsers, delivery::Hub, listeners::Listeners},
        session::places::Places,
        settings::GatewaySettings,
        wire::budget,
    },
    limits::{Policy, RateLimits},
    live::{Blocked, Conversations, Revoked},
    log::Log,
    overload::Overload,
    presence::Presence,
};

/// The state that sessions share.
pub struct Gateway {
    /// The commands that clients can send.
    pub commands: Commands,
    /// The log.
    pub log: Log,
    /// The rosters that authorisation is decided on.
    pub conversations: Conversations,
    /// The block lists of users.
    pub blocked: Arc<Blocked>,
    /// The rate limits.
    pub limits: Arc<RateLimits>,
    /// The load of the node, which decides what it refuses.
    pub overload: Overload,
    /// Time and ids.
    pub clock: Clock,
    /// Checks the credentials of callers.
    pub bearers: Bearers,
    /// The logins that are no longer valid.
    pub revoked: Arc<Revoked>,
    /// Tracks which users are online.
    pub presence: Presence,
    /// Delivers events.
    pub hub: Hub,
    /// The users with sessions on this node.
    pub listeners: Arc<Listeners>,
    /// The places for sockets on this node.
    pub places: Arc<Places>,
    /// The users about whose new name or picture the sockets have to be notified.
    pub changed: Arc<ChangedUsers>,
    /// The missed events and the cursors.
    pub feed: Feed,
    /// The settings of the gateway.
    pub settings: GatewaySettings,
    /// The tasks of the sessions.
    pub sessions: TaskTracker,
}

impl Gateway {
    /// The limits on what the client of a session may send.
    pub fn limits_of_session(&self) -> ReadyLimits {
        let frames = budget::frames(self.limits.rates().of(Policy::Frames));
        ReadyLimits::of(self.settings.socket, frames)
    }

    /// Tells all sessions to reconnect elsewhere, spread over time.
    pub fn drain(&self) {
        for session in self.listeners.sessions() {
            session.socket.close(Close::DRAIN);
        }
    }

    /// Waits until all sessions have ended. Their users are seen for the last time now, on this node.
    pub async fn ended(&self) {
        self.presence.keep_last_seen().await;
        self.sessions.wait().await;
    }
}
