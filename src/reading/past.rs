//! Reading a conversation as it was, at the points that a member may see.

use std::time::Duration;

use super::{
    error::{NoSuchPoint, ReadError},
    open::Reading,
};
use crate::{
    domain::{AsOf, ConversationId, Position, UserId},
    feed::LookBack,
};

/// How long a read waits until this node has reached a position.
const NODE_WITHIN: Duration = Duration::from_secs(2);
/// The most that the clock of a client may be ahead.
const AHEAD: Duration = Duration::from_secs(60);

impl Reading {
    /// The conversation as it was at a point. The present history setting applies: with `since_join`, a point before
    /// the member joined is refused.
    pub(super) async fn past(
        &self,
        me: UserId,
        id: ConversationId,
        visible_from: Option<Position>,
        as_of: AsOf,
    ) -> Result<LookBack, ReadError> {
        self.charge_search(me)?;
        match as_of {
            AsOf::Time(time) if time > self.clock.now().plus(AHEAD) => {
                return Err(NoSuchPoint::InTheFuture.into());
            }
            AsOf::Time(_) => {}
            AsOf::Position(position) => self.await_position(id, position).await?,
        }
        let past = self.feed.past(me, id, as_of).await?;
        let visible = visible_from.ok_or(ReadError::NotFound)?;
        if past.position() < visible {
            return Err(NoSuchPoint::BeforeYouJoined(visible).into());
        }
        Ok(past)
    }

    /// Waits until this process has followed a conversation up to a position, which the caller may have from a node that
    /// is ahead of this one. Refuses a position that the log does not have.
    pub(super) async fn await_position(
        &self,
        id: ConversationId,
        position: Position,
    ) -> Result<(), ReadError> {
        if self.conversations.reached(id, position, NODE_WITHIN).await {
            return Ok(());
        }
        self.conversations.catch_up(id).await?;
        match self.conversations.reached(id, position, Duration::ZERO).await {
            true => Ok(()),
            false => Err(NoSuchPoint::AheadOfHead.into()),
        }
    }
}
