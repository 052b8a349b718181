//! The conversations that are notified when a user has another name or picture: the same ones that are notified of a
//! change of the user's presence.

use std::time::Duration;

use crate::{
    accounts::{self, Account},
    domain::{ConversationId, Position, UserId},
    presence::{Presence, PresenceSettings},
    views::{self, Checkpoint},
};

/// How long the views may take to catch up with this process.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// A user as other users see them now, and the conversations to notify.
#[derive(Debug)]
pub struct ChangedUser {
    pub(crate) account: Account,
    pub(crate) conversations: Vec<ConversationId>,
}

impl Presence {
    /// Changed users as they are now. The views first catch up with the positions that this process has `heard`, if
    /// they can do so in time, because the user may have just joined a conversation.
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
