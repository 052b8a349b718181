//! The lists of a conversation, for one of its members.

use super::{
    error::ReadError,
    open::{Reading, Standing},
};
use crate::{
    domain::{ConversationId, Position, UserId},
    views,
};

impl Reading {
    /// The members by user id, behind `after`, and the moment of which the list tells.
    pub async fn members(
        &self,
        me: UserId,
        id: ConversationId,
        limit: i64,
        after: Option<UserId>,
        min_position: Option<Position>,
    ) -> Result<(Vec<views::Member>, Standing), ReadError> {
        let tracked = self.open(me, id, min_position).await?;
        let read = || async {
            let (members, moment) = views::members(&self.pool, id, after, limit).await?;
            let standing = self.standing(me, Some(id), &moment);
            Ok((after.is_some() || !members.is_empty()).then_some((members, standing)))
        };
        self.once_known(id, &tracked, read).await
    }
}
