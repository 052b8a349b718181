//! Signals to all nodes, which no stream keeps: typing, and revoked logins.

use crate::{
    commands::{needs::Commands, refused::Refused},
    credentials::{ACCESS_LIFE, LEEWAY},
    domain::{ConversationId, LoginId, UserId},
    limits::{BudgetKey, Policy},
    log::{Signal, Unavailable},
};

impl Commands {
    /// Tells the other members of a conversation that a user is typing. No stream keeps it.
    pub async fn typing(&self, by: UserId, conversation: ConversationId) -> Result<(), Refused> {
        // Before the look-up: a signal beyond the rate limit is dropped silently, whether the conversation exists or
        // not.
        if self.limits.admit(Policy::Typing, BudgetKey::member(by, conversation)).is_err() {
            return Ok(());
        }
        let roster = self.of_member(by, conversation).await?.conversation();
        roster.may_speak(by, self.is_blocked(by, &roster).await?)?;
        Ok(self.log.tell(Signal::Typing { conversation, user: by }).await?)
    }

    /// Tells all nodes that logins have been revoked: their sockets are closed within a second.
    pub async fn revoked(&self, logins: &[LoginId]) -> Result<(), Unavailable> {
        let until = self.clock.now().plus(ACCESS_LIFE + LEEWAY);
        for login in logins {
            self.log.tell(Signal::Revoked { login: *login, until }).await?;
        }
        Ok(())
    }
}
