//! Whose presence a user may see.

use std::{collections::HashSet, time::Duration};

use super::{error::ReadError, open::Reading};
use crate::{
    domain::UserId,
    live,
    views::{self, Checkpoint},
};

/// So many of the conversations that two people share are looked at.
const MOST_SHARED: i64 = 100;
/// How long the views may take to hear what this process has heard.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

impl Reading {
    /// Whether two people are in one conversation. The views say where to look, and the log decides: the
    /// views may not have heard yet that one of both was removed.
    pub async fn share_a_conversation(&self, one: UserId, other: UserId) -> Result<bool, ReadError> {
        let Self { commands, conversations, pool, progress, .. } = self;
        conversations.must_all_be_current()?;
        let shared = async || {
            for id in views::shared_conversations(pool, one, other, MOST_SHARED).await? {
                if commands.share(id, one, other).await? {
                    return Ok(true);
                }
            }
            Ok::<_, ReadError>(false)
        };
        if shared().await? {
            return Ok(true);
        }
        // That they share none is believed only of views that have all that this process has heard.
        let heard = conversations.positions().into_iter().enumerate();
        let heard: Vec<_> = heard.map(|(stream, position)| Checkpoint { stream, position }).collect();
        progress.all_reached(&heard, HEARD_WITHIN).await?;
        shared().await
    }

    /// Those of `users` who have blocked me.
    pub async fn hidden(&self, me: UserId, users: &[UserId]) -> Result<HashSet<UserId>, ReadError> {
        let lists = self.blocked.lists(users).await?;
        Ok(lists.into_iter().filter(|(_, list)| live::is_blocked(list, me)).map(|(user, _)| user).collect())
    }
}
