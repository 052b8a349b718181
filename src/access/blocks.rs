//! Blocking and unblocking users.

use super::{error::AccessError, needs::Access, revoking::tell};
use crate::{
    accounts::{self, Block},
    domain::{Time, UserId},
};

impl Access {
    /// A part of the block list of the caller, the latest block first, from after the block `after`.
    pub async fn blocks(
        &self,
        me: UserId,
        after: Option<(Time, UserId)>,
        limit: i64,
    ) -> Result<Vec<Block>, AccessError> {
        Ok(accounts::blocks(&self.pool, me, after, limit).await?)
    }

    /// Blocks a user on all nodes.
    pub async fn block(&self, me: UserId, user: UserId) -> Result<(), AccessError> {
        if me == user {
            return Err(AccessError::WithOneself);
        }
        accounts::block(&self.pool, me, user, self.clock.now()).await?;
        tell("a block", self.commands.blocks_changed(me)).await;
        Ok(())
    }

    /// Unblocks a user on all nodes. Without a block nothing changes.
    pub async fn unblock(&self, me: UserId, user: UserId) -> Result<(), AccessError> {
        accounts::find(&self.pool, user).await?.ok_or(AccessError::NotFound)?;
        accounts::unblock(&self.pool, me, user).await?;
        tell("a block", self.commands.blocks_changed(me)).await;
        Ok(())
    }
}
