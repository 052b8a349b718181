//! Whom I have blocked.

use std::time::Duration;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;
use tokio::time::timeout;

use sqlx::PgPool;

use crate::{
    accounts::{self, BlockError},
    api::operations::tag::Tag,
    api::{Caller, Cursor, Done, Found, Limit, Page, Problem, Reply, Ruled, SignedIn, http::examples},
    clock::Clock,
    commands::Commands,
    domain::{Time, UserId},
};

/// A user whom the caller has blocked
#[derive(Serialize, Object)]
#[oai(example)]
struct Block {
    /// The blocked user
    user_id: UserId,
    /// The time of the block
    created_at: Time,
}

impl Example for Block {
    fn example() -> Self {
        Self { user_id: examples::ben(), created_at: examples::time() }
    }
}

pub(in crate::api) struct Blocks {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) commands: Commands,
    pub(in crate::api) clock: Clock,
}

#[OpenApi(tag = "Tag::Users")]
impl Blocks {
    /// List my blocks
    ///
    /// Lists the users whom the caller has blocked, the latest block first.
    #[oai(path = "/me/blocks", method = "get", operation_id = "list_blocks")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, UserId)>>>,
    ) -> Result<Reply<Page<Block>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = accounts::blocks(&self.pool, caller.user, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| (last.created_at, last.user));
        Ok(Reply(page.map(|block| Block { user_id: block.user, created_at: block.created_at })))
    }

    /// Block a user
    ///
    /// A block counts on all nodes within a second. Neither user can start a direct conversation with the
    /// other, nor write, edit, react or pin in an existing one: both get `blocked`, which does not tell who
    /// blocked whom. The blocked user no longer sees the presence of the caller. Messages stay readable and can
    /// be deleted. The blocked user cannot add the caller to a group; groups that both share go on. A user can block at most 1,000 users.
    #[oai(path = "/me/blocks/:id", method = "put", operation_id = "block_user")]
    async fn block(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        if caller.user == id.0 {
            let detail = "You named yourself: name another user.";
            return Err(Problem::new(poem::http::StatusCode::BAD_REQUEST, "with_oneself", detail).into());
        }
        accounts::block(&self.pool, caller.user, id.0, self.clock.now()).await?;
        self.tell(caller.user).await;
        Ok(Done)
    }

    /// Unblock a user
    ///
    /// Removes a block. Without a block the request changes nothing.
    #[oai(path = "/me/blocks/:id", method = "delete", operation_id = "unblock_user")]
    async fn unblock(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Found> {
        accounts::find(&self.pool, id.0).await?.ok_or_else(Problem::not_found)?;
        accounts::unblock(&self.pool, caller.user, id.0).await?;
        self.tell(caller.user).await;
        Ok(Done)
    }
}

impl Blocks {
    /// Makes this node and all others read again whom somebody has blocked.
    async fn tell(&self, by: UserId) {
        // A node that hears nothing now reads it again when it is back.
        match timeout(Duration::from_secs(1), self.commands.blocks_changed(by)).await {
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
