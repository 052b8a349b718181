//! The block list of the caller.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    access::Access,
    api::{
        Caller, Cursor, Done, Found, Include, Limit, MentionsUsers, Named, Page, Reply, Ruled, SignedIn,
        http::examples, operations::tag::Tag,
    },
    domain::{Time, UserId},
    reading::Reading,
};

/// A user whom the caller has blocked
#[derive(Serialize, Object)]
#[oai(example)]
struct Block {
    /// The blocked user
    user_id: UserId,
    /// When the user was blocked
    created_at: Time,
}

impl MentionsUsers for Block {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.user_id);
    }
}

impl Example for Block {
    fn example() -> Self {
        Self { user_id: examples::ben(), created_at: examples::time() }
    }
}

pub(in crate::api) struct Blocks {
    pub(in crate::api) access: Arc<Access>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Users")]
impl Blocks {
    /// List my blocks
    ///
    /// Lists the users whom the caller has blocked, latest block first.
    #[oai(path = "/me/blocks", method = "get", operation_id = "list_blocks")]
    async fn list(
        &self,
        caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<(Time, UserId)>>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Page<Block>>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = self.access.blocks(caller.user, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| (last.created_at, last.user));
        let page = page.map(|block| Block { user_id: block.user, created_at: block.created_at });
        Ok(Reply(include.0.name(page, &self.reading).await?))
    }

    /// Block a user
    ///
    /// Blocks a user, on all nodes within a second. Neither user can start a direct conversation with the other, nor
    /// write, edit, react or pin in an existing one: both get `blocked`, which does not tell who blocked whom. The
    /// blocked user no longer sees the presence of the caller. Messages stay readable and can be deleted. The blocked
    /// user cannot add the caller to a group; groups that both share continue. A user can block at most 1,000 users.
    #[oai(path = "/me/blocks/:id", method = "put", operation_id = "block_user")]
    async fn block(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Ruled> {
        self.access.block(caller.user, id.0).await?;
        Ok(Done)
    }

    /// Unblock a user
    ///
    /// Removes a block. If the user is not blocked, the request changes nothing.
    #[oai(path = "/me/blocks/:id", method = "delete", operation_id = "unblock_user")]
    async fn unblock(&self, caller: Caller, id: Path<UserId>) -> Result<Done, Found> {
        self.access.unblock(caller.user, id.0).await?;
        Ok(Done)
    }
}
