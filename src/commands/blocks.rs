//! Who has blocked whom: looked up for direct conversations alone, and told to all nodes.

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{Conversation, UserId},
    log::{Signal, Unavailable},
};

impl Commands {
    /// Tells all nodes that somebody has blocked or unblocked others. This one knows at once.
    pub async fn blocks_changed(&self, by: UserId) -> Result<(), Unavailable> {
        self.blocked.forget(by);
        self.log.tell(Signal::Blocked { by }).await
    }

    /// Whether one of the two in a direct conversation has blocked the other. Of a group nothing is
    /// looked up.
    pub(super) async fn is_blocked(&self, by: UserId, conversation: &Conversation) -> Result<bool, Refused> {
        match conversation.peer(by) {
            Some(peer) => self.has_blocked(by, peer).await,
            None => Ok(false),
        }
    }

    /// Whether one of two people has blocked the other.
    pub(super) async fn has_blocked(&self, one: UserId, other: UserId) -> Result<bool, Refused> {
        Ok(self.blocked.between(one, other).await.map_err(Unavailable::because)?)
    }
}
