//! Which conversations are to learn that a user has another name or another picture: those that would learn of a
//! change of the user's presence.

use std::time::Duration;

use crate::{
    accounts::{self, Account},
    domain::{ConversationId, Position, UserId},
    presence::{Presence, PresenceSettings},
    views::{self, Checkpoint},
};

/// How long the views may take to reach the position of this process.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// A user as others see them now, and the conversations that are to learn of it.
#[derive(Debug)]
pub struct ChangedUser {
    pub(crate) account: Account,
    pub(crate) conversations: Vec<ConversationId>,
}

impl Presence {
    /// Changed users as they are now. The views first reach the positions that this process has `heard` of, if they do
    /// so in time: the user may have come into a conversation a moment ago.
    pub async fn changed(&self, users: &[UserId], heard: &[Position]) -> sqlx::Result<Vec<ChangedUser>> {
        let PresenceSettings { fan_out, crowd, .. } = self.0.settings;
        let heard =
            heard.iter().enumerate().map(|(stream, position)| Checkpoint { stream, position: *position });
        self.0.progress.all_reached(&heard.collect::<Vec<_>>(), HEARD_WITHIN).await?;
        let mut changed = Vec::new();
        for account in accounts::find_many(&self.0.pool, users).await? {
            let conversations = views::latest_of(&self.0.pool, account.id, fan_out, crowd).await?;
            changed.push(ChangedUser { account, conversations });
        }
        Ok(changed)
    }
}
