//! What all sessions of this node share.

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

/// Everything that sessions share.
pub struct Gateway {
    /// What clients can do.
    pub commands: Commands,
    /// The log.
    pub log: Log,
    /// The rosters on which authorisation is decided.
    pub conversations: Conversations,
    /// Who has blocked whom.
    pub blocked: Arc<Blocked>,
    /// How often anything may be done.
    pub limits: Arc<RateLimits>,
    /// How much is refused because there is too much to do.
    pub overload: Overload,
    /// Time and ids.
    pub clock: Clock,
    /// Checking the proofs of callers.
    pub bearers: Bearers,
    /// Logins that count no more.
    pub revoked: Arc<Revoked>,
    /// Telling which users are here.
    pub presence: Presence,
    /// Delivery of events.
    pub hub: Hub,
    /// The users with sessions on this node.
    pub listeners: Arc<Listeners>,
    /// How many sockets each user has on this node.
    pub places: Arc<Places>,
    /// Users of whom the sockets have to be told that they have another name or picture.
    pub changed: Arc<ChangedUsers>,
    /// Missed events and cursors.
    pub feed: Feed,
    /// The settings.
    pub settings: GatewaySettings,
    /// The tasks of the sessions.
    pub sessions: TaskTracker,
}

impl Gateway {
    /// What the client of a session may send.
    pub fn limits_of_session(&self) -> ReadyLimits {
        let frames = budget::frames(self.limits.rates().of(Policy::Frames));
        ReadyLimits::of(self.settings.socket, frames)
    }

    /// Tells all sessions to come back elsewhere, spread over time.
    pub fn drain(&self) {
        for session in self.listeners.sessions() {
            session.socket.close(Close::DRAIN);
        }
    }
}
