//! Saying no to a stranger, so that neither the answer nor its time tells whether there is such a
//! conversation: the id of a direct one can be computed by everybody who knows the two users.
//!
//! A stranger and a member ask the log equally often, because the rosters remember what was looked up for strangers.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, Rejection, UserId},
    live::Tracked,
    log::Unavailable,
};

/// A no is told on a beat, which a look-up in the log does not miss: what the log has to read from a
/// disk comes later than what is not there.
const BEAT: Duration = Duration::from_millis(25);

impl Commands {
    /// The conversation, for somebody who is in it; for all others there is none.
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
        // Another node may have brought them in a moment ago: who is sent away is not there for sure.
        self.conversations.catch_up(id).await?;
        if let Some(mine) = self.conversations.get(id).await?.filter(is_in) {
            return Ok(mine);
        }
        let beats = asked.elapsed().div_duration_f32(BEAT).ceil();
        sleep_until(asked + BEAT.mul_f32(beats)).await;
        Err(Rejection::NotFound.into())
    }

    /// Whether two people are in a conversation.
    pub async fn share(&self, id: ConversationId, one: UserId, other: UserId) -> Result<bool, Unavailable> {
        let Some(tracked) = self.conversations.get(id).await? else { return Ok(false) };
        let roster = tracked.conversation();
        Ok([one, other].iter().all(|user| roster.membership(*user).is_some()))
    }

    /// Whether there is such a conversation, for those whose it would be.
    pub(super) async fn is_there(&self, id: ConversationId) -> Result<bool, Unavailable> {
        if self.conversations.get(id).await?.is_some() {
            return Ok(true);
        }
        self.conversations.catch_up(id).await?;
        Ok(self.conversations.get(id).await?.is_some())
    }
}
