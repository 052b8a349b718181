//! The presence of users, for the users who may see it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    error::ReadError,
    open::Reading,
    when::{ListPart, When},
};
use crate::{
    accounts,
    domain::{ConversationId, Position, Status, Time, UserId},
    live,
    views::{self, Checkpoint},
};

/// The most shared conversations in which the membership of two users is checked.
const MOST_SHARED: i64 = 100;
/// How long the views may take to reach the position of this process.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The presence of a user, as another user may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPresence {
    /// The user.
    pub user: UserId,
    /// The presence of the user.
    pub status: Status,
    /// The time at which the user was last online.
    pub last_seen_at: Option<Time>,
}

impl Reading {
    /// The presence of the caller, or of a user who shares a conversation with the caller. A user who has blocked
    /// the caller does not exist.
    pub async fn presence_of(&self, me: UserId, user: UserId) -> Result<SeenPresence, ReadError> {
        if me != user && !self.share_a_conversation(me, user).await? {
            return Err(ReadError::NotFound);
        }
        if self.hidden(me, &[user]).await?.contains(&user) {
            return Err(ReadError::NotFound);
        }
        self.presences_of(&[user]).await?.pop().ok_or(ReadError::NotFound)
    }

    /// The presence of a part of the members of a conversation, by user id. A member who has blocked the caller appears
    /// as if never online.
    pub async fn presences(
        &self,
        me: UserId,
        id: ConversationId,
        part: ListPart<UserId>,
        min_position: Option<Position>,
    ) -> Result<Vec<SeenPresence>, ReadError> {
        let (members, _) = self.members(me, id, part, When::now(min_position)).await?;
        let users: Vec<UserId> = members.into_iter().map(|member| member.user).collect();
        let hidden = self.hidden(me, &users).await?;
        let mut presences = self.presences_of(&users).await?;
        for presence in presences.iter_mut().filter(|presence| hidden.contains(&presence.user)) {
            (presence.status, presence.last_seen_at) = (Status::Offline, None);
        }
        Ok(presences)
    }

    /// The presence of users, in the order of `users`. While a user is here, the accounts do not know it yet.
    async fn presences_of(&self, users: &[UserId]) -> Result<Vec<SeenPresence>, ReadError> {
        let accounts = accounts::find_many(&self.pool, users).await?;
        let last: HashMap<_, _> = accounts.into_iter().map(|a| (a.id, a.last_seen_at)).collect();
        let presence = |user: &UserId| SeenPresence {
            user: *user,
            status: self.presence.status(*user),
            last_seen_at: self.presence.last_seen_at(*user).max(last.get(user).copied().flatten()),
        };
        Ok(users.iter().map(presence).collect())
    }

    /// Whether two users are members of one conversation. The views find conversations to check, and the log
    /// decides: the views may not know yet that one of the two users was removed.
    async fn share_a_conversation(&self, one: UserId, other: UserId) -> Result<bool, ReadError> {
        let Self { commands, conversations, views, .. } = self;
        conversations.must_all_be_current()?;
        let shared = async || {
            for id in views::shared_conversations(views.pool(), one, other, MOST_SHARED).await? {
                if commands.share(id, one, other).await? {
                    return Ok(true);
                }
            }
            Ok::<_, ReadError>(false)
        };
        if shared().await? {
            return Ok(true);
        }
        // Only views that have reached the position of this process can say that the two share nothing.
        let heard = conversations.positions().into_iter().enumerate();
        let heard: Vec<_> = heard.map(|(stream, position)| Checkpoint { stream, position }).collect();
        let has_reached = views.all_reached(&heard, HEARD_WITHIN).await?;
        match shared().await? {
            false if !has_reached => Err(ReadError::NotYet),
            shares => Ok(shares),
        }
    }

    /// The users among `users` who have blocked the caller.
    async fn hidden(&self, me: UserId, users: &[UserId]) -> Result<HashSet<UserId>, ReadError> {
        let lists = self.blocked.lists(users).await?;
        Ok(lists.into_iter().filter(|(_, list)| live::is_blocked(list, me)).map(|(user, _)| user).collect())
    }
}
