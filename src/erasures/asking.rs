//! Asking for an erasure, and looking at it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgPool;

use crate::{
    accounts::{
        By, Stamp,
        erasures::{self, ErasurePart, ErasureRequest},
    },
    clock::Clock,
    domain::{ConversationId, ErasureId, Event, Position, UserId},
    erasures::{
        error::ErasureError,
        receipt::{self, ErasureReceipt},
    },
    log::Log,
};

/// The most messages of a request.
pub(crate) const MOST_MESSAGES: usize = 500;
/// The longest time between a request and its begin.
pub(crate) const MOST_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// The most messages that are looked up side by side.
const AT_ONCE: usize = 16;

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) struct WantedErasure {
    /// The messages.
    pub messages: Vec<(ConversationId, Position)>,
    /// Why.
    pub reason: String,
    /// The time until it begins.
    pub grace: Duration,
    /// The account that asks.
    pub actor: UserId,
}

/// The erasures of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Erasures {
    pub(crate) pool: PgPool,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
}

impl Erasures {
    /// Requests an erasure.
    pub(crate) async fn request(
        &self,
        wanted: WantedErasure,
        by: By,
    ) -> Result<ErasureReceipt, ErasureError> {
        if !self.log.is_for_readers_of_erasures().await? {
            return Err(ErasureError::OldReaders);
        }
        let places = wanted.messages.iter().copied().enumerate();
        let looks = stream::iter(places).map(|(number, place)| self.is_message(number, place));
        looks.buffered(AT_ONCE).try_collect::<Vec<()>>().await?;
        let mut parts: BTreeMap<ConversationId, BTreeSet<Position>> = BTreeMap::new();
        for (conversation, position) in wanted.messages {
            parts.entry(conversation).or_default().insert(position);
        }
        let now = self.clock.now();
        let erasure = ErasureRequest {
            id: self.clock.id(ErasureId::known),
            reason: wanted.reason,
            actor: wanted.actor,
            requested_at: now,
            starts_at: now.plus(wanted.grace),
            messages: parts.values().map(BTreeSet::len).sum::<usize>().try_into().unwrap_or(u32::MAX),
            edits: 0,
            hidden_at: None,
            views_done_at: None,
            log_done_at: None,
            done_at: None,
            parts: parts
                .into_iter()
                .map(|(conversation, positions)| ErasurePart {
                    conversation,
                    positions: positions.into_iter().collect(),
                    told_at: None,
                })
                .collect(),
        };
        erasures::add(&self.pool, &erasure, Stamp::now(&self.clock, by)).await?;
        receipt::of(erasure, &self.pool, &self.log, self.clock.now()).await
    }

    /// A request, with how far it has come.
    pub(crate) async fn find(&self, id: ErasureId) -> Result<ErasureReceipt, ErasureError> {
        let erasure = erasures::find(&self.pool, id).await?.ok_or(ErasureError::NotFound)?;
        receipt::of(erasure, &self.pool, &self.log, self.clock.now()).await
    }

    /// The latest requests.
    pub(crate) async fn list(&self, limit: i64) -> Result<Vec<ErasureReceipt>, ErasureError> {
        let now = self.clock.now();
        let found = erasures::list(&self.pool, limit).await?;
        Ok(found.into_iter().map(|erasure| ErasureReceipt::brief(erasure, now)).collect())
    }

    /// Whether a message of the conversation was sent at the position, erased or not.
    async fn is_message(
        &self,
        number: usize,
        (conversation, position): (ConversationId, Position),
    ) -> Result<(), ErasureError> {
        let none = Err(ErasureError::NoMessage(number));
        if position == Position::START || self.log.last(self.log.stream_of(conversation)).await? < position {
            return none;
        }
        match self.log.at(conversation, position).await?.and_then(|recorded| recorded.event) {
            Some(Event::MessageSent(_)) => Ok(()),
            _ => none,
        }
    }
}
