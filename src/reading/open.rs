//! Opening a conversation for one of its members, as decided on the log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::timeout;

use super::{error::ReadError, when::Standing};
use crate::{
    clock::Clock,
    commands::{Commands, Refused, Unavailable},
    domain::{Conversation, ConversationId, Point, Position, UserId},
    feed::Feed,
    limits::{Policy, RateLimits},
    live::{Blocked, Conversations, Tracked},
    log::Log,
    presence::Presence,
    shares::Shares,
    views::{self, Checkpoint, Moment, ReadViews, Reader},
};

/// How long a read waits until the views have reached a position.
const VIEWS_WITHIN: Duration = Duration::from_secs(2);
/// The most parked conversations that are checked for whether a user is a member.
const MOST_PARKED: usize = 100;
/// How long a list waits for that check. The list itself does not depend on it.
const PARKED_WITHIN: Duration = Duration::from_millis(500);

/// Reads what users may see. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    /// The commands, which open a conversation for a member by the roster in the log.
    pub commands: Commands,
    /// The log.
    pub log: Log,
    /// The position up to which this process has followed the log.
    pub conversations: Conversations,
    /// The block lists.
    pub blocked: Arc<Blocked>,
    /// The database of accounts.
    pub pool: PgPool,
    /// The views, on the server from which requests read.
    pub views: ReadViews,
    /// The replays of the log for a look back, and the cursors.
    pub feed: Feed,
    /// The presence of users.
    pub presence: Presence,
    /// The rate limits.
    pub limits: Arc<RateLimits>,
    /// The time, by which `as_of` is bounded.
    pub clock: Clock,
    /// The places of searches on this node.
    pub(crate) searches: Shares<UserId>,
}

impl Reading {
    /// The conversation for one of its members, as soon as the views have reached `min_position`.
    /// For all other users the conversation does not exist.
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

    /// Opens a conversation like [`Self::open`], and returns its reader: the member, with the position from
    /// which the member may read messages.
    pub(super) async fn reader(
        &self,
        user: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<Reader, ReadError> {
        let conversation = self.open(user, id, min_position).await?.conversation();
        let visible_from = conversation.visible_from(user).ok_or(ReadError::NotFound)?;
        let expired = self.expired_in(&[(id, conversation)]).await?.get(&id).copied().unwrap_or_default();
        Ok(Reader { conversation: id, user, visible_from, expired })
    }

    /// The last expired position of conversations, where there is one.
    pub(super) async fn expired_in(
        &self,
        conversations: &[(ConversationId, Arc<Conversation>)],
    ) -> Result<HashMap<ConversationId, Position>, ReadError> {
        let rules = self.commands.retention;
        let kept = |(id, conversation): &(ConversationId, Arc<Conversation>)| {
            Some((*id, rules.of(conversation.retention())?))
        };
        let kept: Vec<_> = conversations.iter().filter_map(kept).collect();
        Ok(views::expired_in(self.views.pool(), &kept).await?)
    }

    /// Charges the rate limit for a search, or for a read with `as_of`.
    pub(super) fn charge_search(&self, me: UserId) -> Result<(), ReadError> {
        let limits = &self.limits;
        Ok(limits.admit_instead_of_user(Policy::Search, me).map_err(Refused::from)?)
    }

    /// The answer of the views about a conversation. Views without an answer do not know the conversation or
    /// its member yet. Such views get time to reach the last change of the roster, and are asked once more.
    pub(super) async fn once_known<T, F>(
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

    /// The moment of a list of one conversation. A conversation that the views have parked has none.
    pub(super) fn standing(&self, user: UserId, id: ConversationId, moment: &Moment) -> Standing {
        if moment.is_parked(id) {
            return Standing::default();
        }
        let points = moment.points(self.log.layout().streams);
        let position = Some(points[self.log.stream_of(id)].position);
        Standing { position, cursor: Some(self.feed.cursor(user, &points)), floor: None }
    }

    /// The moment of the list of a user's conversations. There is none while one of them is parked, on whatever page, or
    /// while the log does not tell in time whether one is.
    pub(super) async fn standing_of_all(&self, user: UserId, moment: &Moment) -> Standing {
        let points = moment.points(self.log.layout().streams);
        let checked = timeout(PARKED_WITHIN, self.none_is_parked(user, moment, &points)).await;
        let cursor = matches!(checked, Ok(Ok(true))).then(|| self.feed.cursor(user, &points));
        Standing { cursor, ..Standing::default() }
    }

    /// Whether none of a user's conversations is parked. The log says which are the user's, because the views may not
    /// know it yet. Nothing is refused here, so the whole log is not needed: it is enough that this process has
    /// followed what the list has.
    async fn none_is_parked(
        &self,
        user: UserId,
        moment: &Moment,
        points: &[Point],
    ) -> Result<bool, Unavailable> {
        let parked: Vec<ConversationId> = moment.parked().take(MOST_PARKED + 1).collect();
        if parked.len() > MOST_PARKED {
            return Ok(false);
        }
        for id in &parked {
            let listed = points[self.log.stream_of(*id)].position;
            if !self.conversations.reached(*id, listed, PARKED_WITHIN).await {
                return Ok(false);
            }
        }
        let rosters = self.conversations.get_all(parked).await?;
        Ok(rosters.iter().all(|(_, tracked)| tracked.conversation().membership(user).is_none()))
    }

    /// Waits until the views have reached a position of a conversation. Fails if the views do not reach the
    /// position in time, or if the views of this conversation stand still before the position.
    pub(super) async fn caught_up(&self, id: ConversationId, position: Position) -> Result<(), ReadError> {
        let wanted = Checkpoint { stream: self.log.stream_of(id), position };
        match self.views.reached(wanted, VIEWS_WITHIN).await? {
            true if !self.views.stands_still(id, position).await? => Ok(()),
            _ => Err(ReadError::NotYet),
        }
    }
}
