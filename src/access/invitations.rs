//! The invitations of a user.

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{Invitation, invitations},
    domain::{ConversationId, Time, UserId},
};

impl Access {
    /// A part of the open invitations of the caller, the latest first, from after the invitation `after`.
    pub async fn invitations(
        &self,
        me: UserId,
        after: Option<(Time, ConversationId)>,
        limit: i64,
    ) -> Result<Vec<Invitation>, AccessError> {
        Ok(invitations::invitations(&self.pool, me, self.clock.now(), after, limit).await?)
    }

    /// Declines an invitation of the caller.
    pub async fn decline(&self, me: UserId, conversation: ConversationId) -> Result<(), AccessError> {
        match invitations::decline(&self.pool, me, conversation, self.clock.now()).await? {
            true => Ok(()),
            false => Err(AccessError::NotFound),
        }
    }
}
