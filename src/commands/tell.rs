//! Signals to all nodes: typing, revoked logins and changed users. No stream stores signals.

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, LoginId, UserId},
    limits::{BudgetKey, Policy},
    log::{Signal, Unavailable},
};

impl Commands {
    /// Tells the other members of a conversation that a user is typing. No stream stores the signal.
    pub async fn typing(&self, by: UserId, conversation: ConversationId) -> Result<(), Refused> {
        // The rate limit comes before the look-up, so that a signal beyond the limit is dropped silently
        // whether or not the conversation exists. In the other order, only the signals of members would be
        // dropped silently.
        if self.limits.admit(Policy::Typing, BudgetKey::member(by, conversation)).is_err() {
            return Ok(());
        }
        let roster = self.of_member(by, conversation).await?.conversation();
        roster.may_speak(by, self.is_blocked(by, &roster).await?)?;
        Ok(self.log.tell(Signal::Typing { conversation, user: by }).await?)
    }

    /// Tells all nodes that the name or picture of a user has changed for others. Call this when the database has the
    /// change, because each node reads the account again.
    pub async fn user_changed(&self, user: UserId) -> Result<(), Unavailable> {
        self.log.tell(Signal::UserChanged { user }).await
    }

    /// Tells all nodes that logins have been revoked: their sockets are closed within a second.
    pub async fn revoked(&self, logins: &[LoginId]) -> Result<(), Unavailable> {
        self.ended(logins, None).await
    }

    /// Tells all nodes that an account was deactivated, with all of its logins.
    pub async fn suspended(&self, user: UserId, logins: &[LoginId]) -> Result<(), Unavailable> {
        self.log.tell(Signal::Suspended { user }).await?;
        self.ended(logins, Some(user)).await
    }

    /// Tells all nodes that an account is active again.
    pub async fn restored(&self, user: UserId) -> Result<(), Unavailable> {
        self.log.tell(Signal::Restored { user }).await
    }

    async fn ended(&self, logins: &[LoginId], suspended: Option<UserId>) -> Result<(), Unavailable> {
        for login in logins {
            self.log.tell(Signal::Revoked { login: *login, suspended }).await?;
        }
        Ok(())
    }
}
