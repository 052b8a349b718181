//! The lists of a conversation, for one of its members.

use super::{
    error::ReadError,
    open::Reading,
    when::{ListPart, Standing, When},
};
use crate::{
    domain::{ConversationId, UserId},
    feed::LookBack,
    views::{self, Moment},
};

impl Reading {
    /// A part of the members, by user id.
    pub async fn members(
        &self,
        me: UserId,
        id: ConversationId,
        part: ListPart<UserId>,
        when: When,
    ) -> Result<(Vec<views::Member>, Standing), ReadError> {
        let ListPart { after, limit } = part;
        let past = |past: &LookBack| past.members(after, limit);
        self.of_members(me, id, after, when, past, || views::members(self.views.pool(), id, after, limit))
            .await
    }

    /// A part of the receipts, by user id.
    pub async fn receipts(
        &self,
        me: UserId,
        id: ConversationId,
        part: ListPart<UserId>,
        when: When,
    ) -> Result<(Vec<views::Receipt>, Standing), ReadError> {
        let ListPart { after, limit } = part;
        let past = |past: &LookBack| past.receipts(after, limit);
        self.of_members(me, id, after, when, past, || views::receipts(self.views.pool(), id, after, limit))
            .await
    }

    /// A list with a row for each member. The caller is a member, so a first page without a row comes from
    /// views that do not know the conversation yet.
    async fn of_members<T, F>(
        &self,
        me: UserId,
        id: ConversationId,
        after: Option<UserId>,
        when: When,
        past: impl Fn(&LookBack) -> Vec<T>,
        read: impl Fn() -> F,
    ) -> Result<(Vec<T>, Standing), ReadError>
    where
        F: Future<Output = sqlx::Result<(Vec<T>, Moment)>>,
    {
        let tracked = self.open(me, id, when.min_position).await?;
        if let Some(as_of) = when.as_of {
            let point = self.past(me, id, tracked.conversation().visible_from(me), as_of).await?;
            return Ok((past(&point), Standing::past(&point)));
        }
        let known = || async {
            let (rows, moment) = read().await?;
            let standing = self.standing(me, id, &moment);
            Ok((after.is_some() || !rows.is_empty()).then_some((rows, standing)))
        };
        self.once_known(id, &tracked, known).await
    }
}
