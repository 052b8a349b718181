//! Reading a conversation: who may, decided on the log, and how fresh the views must be.

use std::{sync::Arc, time::Duration};

use crate::{
    api::{Below, Problem, Standing},
    domain::{ConversationId, MessageId, Position, UserId},
    live::Tracked,
    views::{self, Checkpoint, Moment, Reader},
};

/// How long a read waits for the views.
const PATIENCE: Duration = Duration::from_secs(2);

impl Below {
    /// The conversation for one of its members, as soon as the views have reached `min_position`.
    /// For everybody else there is none.
    pub(in crate::api) async fn open(
        &self,
        user: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Arc<Tracked>, Problem> {
        let tracked = self.commands.of_member(user, id).await?;
        if let Some(position) = min_position {
            self.caught_up(id, position).await?;
        }
        Ok(tracked)
    }

    /// The same for a member who reads messages.
    pub(in crate::api) async fn reader(
        &self,
        user: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Reader, Problem> {
        let tracked = self.open(user, id, min_position).await?;
        let visible_from = tracked.conversation().visible_from(user).ok_or_else(Problem::not_found)?;
        Ok(Reader { conversation: id, user, visible_from })
    }

    /// A message that a member may see. That there is none is believed only of views that have all
    /// that the log has.
    pub(in crate::api) async fn message(
        &self,
        reader: Reader,
        id: MessageId,
    ) -> Result<views::Message, Problem> {
        if let Some(known) = views::message(&self.pool, reader, id).await? {
            return Ok(known);
        }
        let log = &self.commands.log;
        let end = log.last(log.stream_of(reader.conversation)).await?;
        self.caught_up(reader.conversation, end).await?;
        views::message(&self.pool, reader, id).await?.ok_or_else(Problem::not_found)
    }

    /// What the views say of a conversation. Where they say nothing they have not heard of it, or
    /// not of its member, so they get time to come to the last change of the roster.
    pub(in crate::api) async fn once_known<T, F>(
        &self,
        id: ConversationId,
        tracked: &Tracked,
        read: impl Fn() -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = sqlx::Result<Option<T>>>,
    {
        if let Some(known) = read().await? {
            return Ok(known);
        }
        let (_, roster) = tracked.roster();
        self.caught_up(id, roster).await?;
        read().await?.ok_or_else(not_yet)
    }

    /// Of which moment a list tells that a user is given: of all their conversations, or of one. Of one that
    /// the views have parked there is nothing to say.
    pub(in crate::api) fn standing(
        &self,
        user: UserId,
        id: Option<ConversationId>,
        moment: &Moment,
    ) -> Standing {
        if id.is_some_and(|id| moment.is_parked(id)) {
            return Standing::default();
        }
        let log = &self.commands.log;
        let points = moment.points(log.layout().streams);
        let position = id.map(|id| points[log.stream_of(id)].position);
        Standing { position, cursor: Some(self.feed.cursor(user, &points)) }
    }

    async fn caught_up(&self, id: ConversationId, position: Position) -> Result<(), Problem> {
        let wanted = Checkpoint { stream: self.commands.log.stream_of(id), position };
        match self.progress.reached(wanted, PATIENCE).await? {
            true if !self.progress.stands_still(id, position).await? => Ok(()),
            _ => Err(not_yet()),
        }
    }
}

fn not_yet() -> Problem {
    let detail = "The views have not reached this position yet: send the same request again.";
    Problem::unavailable("not_yet", detail, Duration::from_secs(1))
}
