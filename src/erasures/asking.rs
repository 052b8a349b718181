//! Requesting, cancelling and showing erasures.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgPool;

use crate::{
    accounts::{
        self, By, ErasureScope, Stamp, WhichAccount,
        erasures::{self, ErasurePart, ErasureRequest},
    },
    clock::Clock,
    domain::{
        ConversationCreated, ConversationId, ConversationUpdated, ErasureId, Event, EventId, ExternalId,
        Position, Recorded, UserId,
    },
    erasures::{
        error::ErasureError,
        receipt::{self, ErasureReceipt},
    },
    log::Log,
};

/// The maximum number of messages and titles in a request.
pub(crate) const MOST_MESSAGES: usize = 500;
/// The longest grace period of a request: the time between the request and the start of the erasure.
pub(crate) const MOST_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// The grace period when an account requests its own erasure.
pub(crate) const OWN_GRACE: Duration = Duration::from_secs(86_400);
/// The maximum number of concurrent lookups of messages.
const AT_ONCE: usize = 16;

/// The content or the account to erase.
#[derive(Debug, Clone)]
pub(crate) enum ErasureTarget {
    /// Messages and titles.
    Messages(Vec<(ConversationId, Position)>),
    /// The account with this internal id, and whether its messages are erased too.
    Account(UserId, ErasureScope),
    /// The same, by the id that the host application assigned.
    External(ExternalId, ErasureScope),
}

/// The input of a request.
#[derive(Debug, Clone)]
pub(crate) struct WantedErasure {
    /// The content or the account.
    pub target: ErasureTarget,
    /// The reason.
    pub reason: String,
    /// The time until the erasure starts.
    pub grace: Duration,
    /// The requesting account.
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
        let (account, scope, messages) = match wanted.target {
            ErasureTarget::Messages(messages) => (None, ErasureScope::Content, messages),
            ErasureTarget::Account(id, scope) => {
                (Some(self.account(WhichAccount::Id(id), scope).await?), scope, vec![])
            }
            ErasureTarget::External(id, scope) => {
                (Some(self.account(WhichAccount::External(&id), scope).await?), scope, vec![])
            }
        };
        if scope != ErasureScope::Account && !self.log.is_for_readers_of_erasures().await? {
            return Err(ErasureError::OldReaders);
        }
        let places = messages.iter().copied().enumerate();
        let looks = stream::iter(places).map(|(number, place)| self.named(number, place));
        let named: Vec<(EventId, bool)> = looks.buffered(AT_ONCE).try_collect().await?;
        let mut parts: BTreeMap<ConversationId, BTreeMap<Position, EventId>> = BTreeMap::new();
        let mut titles = BTreeSet::new();
        for (place @ (conversation, position), (event, is_title)) in messages.into_iter().zip(named) {
            parts.entry(conversation).or_default().insert(position, event);
            titles.extend(is_title.then_some(place));
        }
        let now = self.clock.now();
        let part = |(conversation, named): (_, BTreeMap<_, _>)| ErasurePart {
            conversation,
            positions: named.keys().copied().collect(),
            events: named.into_values().collect(),
            told_at: None,
        };
        let (id, parts) = (self.clock.id(ErasureId::known), parts.into_iter().map(part).collect());
        let named = ErasureRequest::of_messages(id, wanted.actor, wanted.reason, now, parts);
        let erasure = ErasureRequest {
            scope,
            account,
            starts_at: now.plus(wanted.grace),
            messages: named.messages - titles.len() as u32,
            ..named
        };
        let id = erasures::add(&self.pool, &erasure, Stamp::now(&self.clock, by)).await?;
        self.find(id).await
    }

    /// Looks up the account to erase.
    async fn account(&self, which: WhichAccount<'_>, scope: ErasureScope) -> Result<UserId, ErasureError> {
        let field = match which {
            WhichAccount::Id(_) => "/user_id",
            WhichAccount::External(_) => "/external_id",
        };
        accounts::erasable(&self.pool, which, scope).await?.ok_or(ErasureError::NoAccount(field))
    }

    /// The pending request for an account.
    pub(crate) async fn of_account(&self, account: UserId) -> Result<ErasureReceipt, ErasureError> {
        let erasure = erasures::of_account(&self.pool, account).await?.ok_or(ErasureError::NotFound)?;
        Ok(ErasureReceipt::brief(erasure, self.clock.now()))
    }

    /// Cancels the erasure that an account requested for itself.
    pub(crate) async fn cancel(&self, account: UserId, by: By) -> Result<(), ErasureError> {
        match accounts::cancel_erasure(&self.pool, account, Stamp::now(&self.clock, by)).await? {
            true => Ok(()),
            false => Err(ErasureError::NotFound),
        }
    }

    /// A request with its progress.
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

    /// The id of the event at the position, erased or not, and whether it sets a title of the conversation (`true`) or
    /// sends a message (`false`). Any other event, or none, is an error that names `number`.
    async fn named(
        &self,
        number: usize,
        (conversation, position): (ConversationId, Position),
    ) -> Result<(EventId, bool), ErasureError> {
        let none = Err(ErasureError::NoMessage(number));
        if position == Position::START || self.log.last(self.log.stream_of(conversation)).await? < position {
            return none;
        }
        let Some(Recorded { id, event: Some(event), .. }) = self.log.at(conversation, position).await? else {
            return none;
        };
        match event {
            Event::MessageSent(_) => Ok((id, false)),
            Event::ConversationCreated(ConversationCreated { title: Some(_), .. })
            | Event::ConversationUpdated(ConversationUpdated { title: Some(_), .. }) => Ok((id, true)),
            _ => none,
        }
    }
}
