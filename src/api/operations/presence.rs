//! The presence of users.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    api::{
        Caller, Cursor, Done, Found, Include, Limit, MentionsUsers, Named, Page, Reply, Ruled,
        http::examples, operations::tag::Tag,
    },
    commands::Commands,
    domain::{ConversationId, Position, Status, Time, UserId},
    reading::{Reading, SeenPresence},
};

/// The presence of a user
#[derive(Serialize, Object)]
#[oai(example)]
struct Presence {
    /// The user
    user_id: UserId,
    /// The presence of the user
    status: Status,
    /// When the user was last online; for a user who is present, the time of the last change. Absent if the user has
    /// never been online
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<Time>,
}

impl From<SeenPresence> for Presence {
    fn from(SeenPresence { user, status, last_seen_at }: SeenPresence) -> Self {
        Self { user_id: user, status, last_seen_at }
    }
}

impl MentionsUsers for Presence {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.user_id);
    }
}

impl Example for Presence {
    fn example() -> Self {
        Self { user_id: examples::ben(), status: Status::Offline, last_seen_at: Some(examples::time()) }
    }
}

pub(in crate::api) struct Presences {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Presence")]
impl Presences {
    /// Get the presence of a user
    ///
    /// Returns the presence of the caller, or of a user who shares a conversation with the caller. For all other
    /// users, and for users who have blocked the caller, the response is 404. There is no `min_position`: before the
    /// server answers 404 for want of a shared conversation, it waits up to 2 s for its views, and answers 503 `not_yet`
    /// if they still lag.
    #[oai(path = "/users/:id/presence", method = "get", operation_id = "get_presence")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<UserId>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Presence>>, Found> {
        let presence = Presence::from(self.reading.presence_of(caller.user, id.0).await?);
        Ok(Reply(include.0.name(presence, &self.reading).await?))
    }

    /// List the presence of members
    ///
    /// Lists the presence of all members of a conversation of the caller, in the order of their user ids. A member
    /// who has blocked the caller appears as if never online. Sockets receive changes of presence, except in
    /// conversations of more than 500 members (a setting of the server), where clients poll this list instead.
    #[oai(path = "/conversations/:id/presence", method = "get", operation_id = "list_presence")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Page<Presence>>>, Found> {
        let part = limit.0.part(cursor.0);
        let found = self.reading.presences(caller.user, id.0, part, min_position.0).await?;
        let page = Page::cut(found, limit.0, |last| last.user).map(Presence::from);
        Ok(Reply(include.0.name(page, &self.reading).await?))
    }

    /// Send a typing signal
    ///
    /// Tells the sockets of the other members that the caller is typing, like the frame `typing`. Nothing is stored.
    /// In each conversation the server passes on two signals at once, then one in 3 s, and drops the others silently.
    #[oai(path = "/conversations/:id/typing", method = "post", operation_id = "show_typing")]
    async fn typing(&self, caller: Caller, id: Path<ConversationId>) -> Result<Done, Ruled> {
        self.commands.typing(caller.user, id.0).await?;
        Ok(Done)
    }
}
