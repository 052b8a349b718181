//! Opening a conversation for one of its members, and refusing strangers. Neither the refusal nor its timing reveals
//! whether the conversation exists, because everybody can compute the id of a direct conversation from the ids of its
//! two users.
//!
//! Requests of strangers and of members query the log equally often: the rosters remember the ids that strangers
//! requested.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, Rejection, UserId},
    live::Tracked,
    log::Unavailable,
};

/// Refusals are delayed to the next multiple of this time after the question. A conversation that the log has
/// to read from a disk takes longer to look up than a conversation that does not exist; the delay hides the
/// difference, because either look-up usually takes less than one beat.
const BEAT: Duration = Duration::from_millis(25);

impl Commands {
    /// The conversation, for one of its members. For all other users the conversation does not exist.
    pub async fn of_member(&self, user: UserId, id: ConversationId) -> Result<Arc<Tracked>, Refused> {
        self.conversations.must_be_current(id)?;
        let is_in = |tracked: &Arc<Tracked>| tracked.conversation().membership(user).is_some();
        if let Some(mine) = self.conversations.at_hand(id).filter(is_in) {
            return Ok(mine);
        }
        let asked = Instant::now();
        if let Some(mine) = self.conversations.look_up(id).await?.filter(is_in) {
            return Ok(mine);
        }
        self.conversations.note_doubt(id);
        // Another node may have added the user a moment ago, so a refusal needs the whole log.
        self.conversations.catch_up(id).await?;
        if let Some(mine) = self.conversations.get(id).await?.filter(is_in) {
            return Ok(mine);
        }
        let beats = asked.elapsed().div_duration_f32(BEAT).ceil();
        sleep_until(asked + BEAT.mul_f32(beats)).await;
        Err(Rejection::NotFound.into())
    }

    /// Whether two users are members of a conversation.
    pub async fn share(&self, id: ConversationId, one: UserId, other: UserId) -> Result<bool, Unavailable> {
        let Some(tracked) = self.conversations.get(id).await? else { return Ok(false) };
        Ok(tracked.conversation().has_all(&[one, other]))
    }

    /// Whether the conversation exists. Only for a user who would be a member of it.
    pub(super) async fn is_there(&self, id: ConversationId) -> Result<bool, Unavailable> {
        if self.conversations.get(id).await?.is_some() {
            return Ok(true);
        }
        self.conversations.catch_up(id).await?;
        Ok(self.conversations.get(id).await?.is_some())
    }
}
