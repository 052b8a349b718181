//! What all sessions of this node share.

use std::sync::Arc;

use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::{
    commands::Commands,
    credentials::{BadToken, Caller, Tokens},
    feed::Feed,
    gateway::{
        frames::close::Close,
        hub::{delivery::Hub, listeners::Listeners},
        session::places::Places,
        settings::Settings,
    },
    live::{Followers, Revoked},
    presence::Presence,
};

/// Everything that sessions share.
pub struct Gateway {
    /// What may be done.
    pub commands: Commands,
    /// The views' database.
    pub pool: PgPool,
    /// Who is asking.
    pub tokens: Arc<Tokens>,
    /// Logins that count no more.
    pub revoked: Arc<Revoked>,
    /// Who is here.
    pub presence: Presence,
    /// Where events come from.
    pub hub: Hub,
    /// Who listens on this node.
    pub listeners: Arc<Listeners>,
    /// Who follows on this node without a socket.
    pub followers: Arc<Followers>,
    /// How many sockets each user has on this node.
    pub places: Arc<Places>,
    /// What was missed, and where clients are.
    pub feed: Feed,
    /// The settings.
    pub settings: Settings,
    /// The tasks of the sessions.
    pub sessions: TaskTracker,
}

impl Gateway {
    /// Whose token this is.
    pub fn caller(&self, token: &str) -> Result<Caller, BadToken> {
        let caller = self.tokens.verify(token, self.commands.clock.now())?;
        if self.revoked.contains(caller.login) { Err(BadToken::Invalid) } else { Ok(caller) }
    }

    /// Tells all sessions to come back elsewhere, spread over time.
    pub fn drain(&self) {
        for session in self.listeners.sessions() {
            session.socket.close(Close::DRAIN);
        }
    }
}
