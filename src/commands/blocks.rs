//! Blocks between the two users of a direct conversation, and telling all nodes that a block list has
//! changed.

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{Conversation, UserId},
    log::{Signal, Unavailable},
};

impl Commands {
    /// Tells all nodes that a user has blocked or unblocked others. This node forgets the old list at once.
    pub async fn blocks_changed(&self, by: UserId) -> Result<(), Unavailable> {
        self.blocked.forget(by);
        self.log.tell(Signal::Blocked { by }).await
    }

    /// Whether one of the two members of a direct conversation has blocked the other. For a group nothing is looked up.
    pub(super) async fn is_blocked(&self, by: UserId, conversation: &Conversation) -> Result<bool, Refused> {
        match conversation.peer(by) {
            Some(peer) => self.has_blocked(by, peer).await,
            None => Ok(false),
        }
    }

    /// Whether one of two users has blocked the other.
    pub(super) async fn has_blocked(&self, one: UserId, other: UserId) -> Result<bool, Refused> {
        Ok(self.blocked.between(one, other).await.map_err(Unavailable::because)?)
    }
}
