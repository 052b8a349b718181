//! Rosters as they were, for programs that read the log by themselves: an event of the timeline counts if its actor was
//! a member at that position.

use super::{error::ReadError, open::Reading};
use crate::{
    commands::Unavailable,
    domain::{ConversationId, Fold, Position},
};

impl Reading {
    /// A conversation folded up to and including a position, or to its end. The cost depends on the number of roster
    /// events, not on the number of messages. The caller has to be allowed to see every conversation.
    pub async fn roster_at(&self, id: ConversationId, at: Option<Position>) -> Result<Fold, ReadError> {
        if let Some(position) = at {
            self.await_position(id, position).await?;
        }
        let fold = self.log.fold(id, at).await.map_err(Unavailable::from)?;
        if fold.conversation.exists() { Ok(fold) } else { Err(ReadError::NotFound) }
    }
}
