//! Bringing users into a conversation: each user needs a place for one more conversation, and no user may
//! have blocked the caller. Otherwise a group would be a way around a block.

use crate::{
    commands::{needs::Commands, refused::Refused},
    domain::{ConversationId, Event, Rejection, UserId},
    live::is_blocked,
    log::Unavailable,
};

impl Commands {
    /// Refuses an event that brings in a user without a place, a user who has blocked `by`, or, where
    /// strangers must consent, a stranger without consent. Blocks are checked first, because a missing
    /// consent becomes an invitation, and a blocked user must not even invite.
    pub(super) async fn may_bring_in(
        &self,
        by: UserId,
        id: ConversationId,
        event: &Event,
    ) -> Result<(), Refused> {
        let others = others(by, event);
        self.must_not_block(by, &others).await?;
        if !self.add_strangers && !others.is_empty() {
            self.must_consent(by, id, &others).await?;
        }
        self.bound.must_have_place(by, event).await
    }

    /// The same for a user who accepts an invitation. The inviter must not have blocked the user either: the invitation
    /// may be older than the block.
    pub(super) async fn may_bring_in_consenting(&self, by: UserId, event: &Event) -> Result<(), Refused> {
        for user in others(by, event) {
            self.must_be_unblocked(by, user).await?;
        }
        self.bound.must_have_place(by, event).await
    }

    /// Refuses if one of two users has blocked the other.
    pub(super) async fn must_be_unblocked(&self, by: UserId, user: UserId) -> Result<(), Refused> {
        if self.has_blocked(by, user).await? { Err(Rejection::Blocked.into()) } else { Ok(()) }
    }

    async fn must_not_block(&self, by: UserId, others: &[UserId]) -> Result<(), Refused> {
        let lists = self.blocked.lists(others).await.map_err(Unavailable::because)?;
        match lists.values().any(|list| is_blocked(list, by)) {
            true => Err(Rejection::Blocked.into()),
            false => Ok(()),
        }
    }
}

/// The users whom an event brings in, without the caller.
pub(super) fn others(by: UserId, event: &Event) -> Vec<UserId> {
    event.brings_in().into_iter().filter(|user| *user != by).collect()
}
