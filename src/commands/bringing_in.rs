//! Bringing users into a conversation: each of them needs a place for it, and none of them may have blocked the
//! user who does it. A group would otherwise be the way around a block.

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, Event, Rejection, UserId},
    live::is_blocked,
    log::Unavailable,
};

impl Commands {
    /// Refuses an event that brings in a user without a place, a user who has blocked `by`, or, where that takes
    /// consent, a stranger who has not given it. Blocks come first: a blocked user cannot even invite.
    pub(super) async fn may_bring_in(
        &self,
        by: UserId,
        id: ConversationId,
        event: &Event,
    ) -> Result<(), Refused> {
        let others = others(by, event);
        let lists = self.blocked.lists(&others).await.map_err(Unavailable::because)?;
        if lists.values().any(|list| is_blocked(list, by)) {
            return Err(Rejection::Blocked.into());
        }
        if !self.add_strangers && !others.is_empty() {
            self.must_consent(by, id, &others).await?;
        }
        self.bound.must_have_place(by, event).await
    }
}

/// The users whom an event brings in, without the user who does it.
pub(super) fn others(by: UserId, event: &Event) -> Vec<UserId> {
    event.brings_in().into_iter().filter(|user| *user != by).collect()
}
