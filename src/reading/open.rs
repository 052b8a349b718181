//! Opening a conversation for one of its members.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

use super::{error::ReadError, when::Standing};
use crate::{
    clock::Clock,
    commands::{Commands, Refused},
    domain::{ConversationId, Position, UserId},
    feed::Feed,
    limits::{Policy, RateLimits},
    live::{Blocked, Conversations, Tracked},
    log::Log,
    shares::Shares,
    views::{Checkpoint, Moment, Progress, Reader},
};

/// How long a read waits for the views.
const VIEWS_WITHIN: Duration = Duration::from_secs(2);

/// What reading takes. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// The membership of a conversation, as the log has it.
    pub commands: Commands,
    /// The log, of which the end is asked.
    pub log: Log,
    /// How far this process has followed the log.
    pub conversations: Conversations,
    /// Who has blocked whom.
    pub blocked: Arc<Blocked>,
    /// The database of accounts and views.
    pub pool: PgPool,
    /// How far the views have come.
    pub progress: Progress,
    /// How a conversation was.
    pub feed: Feed,
    /// How often anything may be done.
    pub limits: Arc<RateLimits>,
    /// The time, by which `as_of` is bounded.
    pub clock: Clock,
    /// The places to search.
    pub(crate) searches: Shares<UserId>,
}

impl Reading {
    /// The conversation for one of its members, as soon as the views have reached `min_position`.
    /// For everybody else there is none.
    pub async fn open(
        &self,
        user: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Arc<Tracked>, ReadError> {
        let tracked = self.commands.of_member(user, id).await?;
        if let Some(position) = min_position {
            self.caught_up(id, position).await?;
        }
        Ok(tracked)
    }

    /// The same for a member who reads messages.
    pub async fn reader(
        &self,
        user: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Reader, ReadError> {
        let tracked = self.open(user, id, min_position).await?;
        let visible_from = tracked.conversation().visible_from(user).ok_or(ReadError::NotFound)?;
        Ok(Reader { conversation: id, user, visible_from })
    }

    /// Takes what looking through the past costs: a search, or a read with `as_of`.
    pub fn charge_search(&self, me: UserId) -> Result<(), ReadError> {
        let limits = &self.limits;
        Ok(limits.admit_instead_of_user(Policy::Search, me).map_err(Refused::from)?)
    }

    /// What the views say of a conversation. Where they say nothing they have not heard of it, or
    /// not of its member, so they get time to come to the last change of the roster.
    pub(crate) async fn once_known<T, F>(
        &self,
        id: ConversationId,
        tracked: &Tracked,
        read: impl Fn() -> F,
    ) -> Result<T, ReadError>
    where
        F: Future<Output = sqlx::Result<Option<T>>>,
    {
        if let Some(known) = read().await? {
            return Ok(known);
        }
        let (_, roster) = tracked.roster();
        self.caught_up(id, roster).await?;
        read().await?.ok_or(ReadError::NotYet)
    }

    /// Of which moment a list tells that a user is given: of all their conversations, or of one. Of one that
    /// the views have parked there is nothing to say.
    pub fn standing(&self, user: UserId, id: Option<ConversationId>, moment: &Moment) -> Standing {
        if id.is_some_and(|id| moment.is_parked(id)) {
            return Standing::default();
        }
        let log = &self.log;
        let points = moment.points(log.layout().streams);
        let position = id.map(|id| points[log.stream_of(id)].position);
        Standing { position, cursor: Some(self.feed.cursor(user, &points)) }
    }

    pub(super) async fn caught_up(&self, id: ConversationId, position: Position) -> Result<(), ReadError> {
        let wanted = Checkpoint { stream: self.log.stream_of(id), position };
        match self.progress.reached(wanted, VIEWS_WITHIN).await? {
            true if !self.progress.stands_still(id, position).await? => Ok(()),
            _ => Err(ReadError::NotYet),
        }
    }
}
