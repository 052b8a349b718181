//! Whom I have blocked.

use std::time::Duration;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    accounts::{self, BlockError},
    api::{
        Below, Caller, Cursor, Done, Found, Limit, Page, Problem, Reply, Ruled, SignedIn, Tag, http::examples,
    },
    domain::{Time, UserId},
};

/// Somebody whom I have blocked
#[derive(Serialize, Object)]
#[oai(example)]
struct Block {
    /// Who
    user_id: UserId,
    /// Since when
    created_at: Time,
}

impl Example for Block {
    fn example() -> Self {
        Self { user_id: examples::ben(), created_at: examples::time() }
    }
}

pub(in crate::api) struct Blocks(pub(in crate::api) Below);

#[OpenApi(tag = "Tag::Users")]
impl Blocks {
    /// List whom I have blocked
    ///
    /// Whom I blocked last comes first.
    #[oai(path = "/me/blocks", method = "get", operation_id = "list_blocks")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, UserId)>>>,
    ) -> Result<Reply<Page<Block>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = accounts::blocks(&self.0.pool, caller.user, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| (last.created_at, last.user));
        Ok(Reply(page.map(|block| Block { user_id: block.user, created_at: block.created_at })))
    }

    /// Block somebody
    ///
    /// From then on, on all nodes within a second: neither of us can start a direct conversation with
    /// the other, nor write, edit, react or pin in one that is there (`blocked`, for both, not telling
    /// who); and they do not see whether I am here. What was said stays readable and can be deleted,
    /// groups go on as they are. At most 1,000 users can be blocked.
    #[oai(path = "/me/blocks/:id", method = "put", operation_id = "block_user")]
    async fn block(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        if caller.user == id.0 {
            let detail = "You named yourself: name another user.";
            return Err(Problem::new(poem::http::StatusCode::BAD_REQUEST, "with_oneself", detail).into());
        }
        accounts::block(&self.0.pool, caller.user, id.0, self.0.clock.now()).await?;
        self.tell(caller.user).await;
        Ok(Done)
    }

    /// Unblock somebody
    ///
    /// Whoever is not blocked stays so.
    #[oai(path = "/me/blocks/:id", method = "delete", operation_id = "unblock_user")]
    async fn unblock(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Found> {
        accounts::find(&self.0.pool, id.0).await?.ok_or_else(Problem::not_found)?;
        accounts::unblock(&self.0.pool, caller.user, id.0).await?;
        self.tell(caller.user).await;
        Ok(Done)
    }
}

impl Blocks {
    /// Makes this node and all others read again whom somebody has blocked.
    async fn tell(&self, by: UserId) {
        // A node that hears nothing now reads it again when it is back.
        match timeout(Duration::from_secs(1), self.0.commands.blocks_changed(by)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not tell other nodes of a block"),
            Err(_) => tracing::warn!("could not tell other nodes of a block in time"),
        }
    }
}

impl From<BlockError> for Problem {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::NoSuchUser => Self::not_found(),
            BlockError::TooMany => {
                Self::conflict("too_many_blocks", "Too many users are blocked: unblock another user first.")
            }
            BlockError::Database(outage) => outage.into(),
        }
    }
}
