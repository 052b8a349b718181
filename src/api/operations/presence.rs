//! Who is here.

use std::collections::HashMap;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use sqlx::PgPool;

use crate::{
    accounts,
    api::operations::members::page_of_members,
    api::operations::tag::Tag,
    api::{Caller, Cursor, Found, Limit, Page, Problem, Reply, http::examples},
    domain::{ConversationId, Position, Status, Time, UserId},
    presence,
    reading::{Reading, When},
};

/// The presence of a user
#[derive(Serialize, Object)]
#[oai(example)]
struct Presence {
    /// The user
    user_id: UserId,
    /// The presence of the user
    status: Status,
    /// The time at which the user was last online; absent if the user has never been online
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<Time>,
}

impl Example for Presence {
    fn example() -> Self {
        Self { user_id: examples::ben(), status: Status::Offline, last_seen_at: Some(examples::time()) }
    }
}

pub(in crate::api) struct Presences {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) reading: Reading,
    pub(in crate::api) presence: presence::Presence,
}

#[OpenApi(tag = "Tag::Presence")]
impl Presences {
    /// Get the presence of a user
    ///
    /// Returns the presence of the caller, or of a user who shares a conversation with the caller. For all
    /// other users, and for users who have blocked the caller, the answer is 404.
    #[oai(path = "/users/:id/presence", method = "get", operation_id = "get_presence")]
    async fn get(&self, caller: Caller, id: Path<UserId>) -> Result<Reply<Presence>, Found> {
        let (me, user) = (caller.user, id.0);
        if me != user && !self.reading.share_a_conversation(me, user).await? {
            return Err(Problem::not_found().into());
        }
        if self.reading.hidden(me, &[user]).await?.contains(&user) {
            return Err(Problem::not_found().into());
        }
        Ok(Reply(self.of(&[user]).await?.pop().ok_or_else(Problem::not_found)?))
    }

    /// List the presence of members
    ///
    /// Lists the presence of all members of a conversation of the caller, by user id. A member who has blocked
    /// the caller appears as if never online. Sockets get changes of presence, but not in conversations of more
    /// than 500 members (a setting of the server): their clients poll this list.
    #[oai(path = "/conversations/:id/presence", method = "get", operation_id = "list_presence")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Waits up to 2 s until the answer includes this position. If it does not, the answer is 503 `not_yet`
        min_position: Query<Option<Position>>,
    ) -> Result<Reply<Page<Presence>>, Found> {
        let Page { items, next_cursor, .. } = page_of_members(
            &self.reading,
            caller.user,
            id.0,
            limit.0,
            cursor.0.map(|end| end.0),
            When::now(min_position.0),
        )
        .await?;
        let users: Vec<_> = items.into_iter().map(|member| member.user).collect();
        let hidden = self.reading.hidden(caller.user, &users).await?;
        let mut items = self.of(&users).await?;
        for presence in items.iter_mut().filter(|presence| hidden.contains(&presence.user_id)) {
            (presence.status, presence.last_seen_at) = (Status::Offline, None);
        }
        Ok(Reply(Page::of(items, next_cursor)))
    }
}

impl Presences {
    /// In the order of `users`.
    async fn of(&self, users: &[UserId]) -> Result<Vec<Presence>, Problem> {
        let accounts = accounts::find_many(&self.pool, users).await?;
        let last: HashMap<_, _> = accounts.into_iter().map(|a| (a.id, a.last_seen_at)).collect();
        let presence = |user: &UserId| Presence {
            user_id: *user,
            status: self.presence.status(*user),
            last_seen_at: last.get(user).copied().flatten(),
        };
        Ok(users.iter().map(presence).collect())
    }
}
