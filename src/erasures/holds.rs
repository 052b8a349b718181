//! Placing and lifting legal holds.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, sleep};

use crate::{
    accounts::{
        self, By, Stamp,
        holds::{self, HoldSubjects, LegalHold, MOST_HOLDS},
        kept,
    },
    domain::{ConversationId, HoldId, Time, Title, UserId},
    erasures::asking::Erasures,
    log::{NotRead, Unavailable},
};

/// The maximum number of users or conversations in a hold.
pub(crate) const MOST_SUBJECTS: usize = 200;
/// The maximum number of concurrent lookups of conversations.
const AT_ONCE: usize = 16;
/// How long to wait for deletions in flight.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two checks of these deletions.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a hold was not placed or not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// There is no such hold.
    #[error("there is no such hold")]
    NotFound,
    /// There is no user with this id.
    #[error("there is no user {0}: check the id")]
    NoUser(UserId),
    /// There is no conversation with this id.
    #[error("there is no conversation {0}: check the id")]
    NoConversation(ConversationId),
    /// The hold ends before it begins.
    #[error("must be after `from`")]
    NoTime,
    /// Too many holds are active.
    #[error("there are {MOST_HOLDS} active holds, which is the maximum: lift one first")]
    TooMany,
    /// The hold is placed, but a deletion that was requested earlier may still be carried out.
    #[error(
        "the hold is placed, but nats-server may still carry out a deletion that was requested before it: see the list of holds"
    )]
    NotCertain,
    /// The log does not answer, or cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<NotRead> for HoldError {
    fn from(e: NotRead) -> Self {
        Unavailable::from(e).into()
    }
}

/// The input for a new hold.
#[derive(Debug, Clone)]
pub(crate) struct WantedHold {
    /// The name for operators.
    pub name: Title,
    /// The users or conversations whose messages it keeps.
    pub of: HoldSubjects,
    /// The time from which it keeps messages.
    pub from: Option<Time>,
    /// The time before which it keeps messages.
    pub to: Option<Time>,
}

impl Erasures {
    /// Places a hold. Once this returns the hold, nothing that it names is deleted any more.
    pub(crate) async fn place_hold(&self, wanted: WantedHold, by: By) -> Result<LegalHold, HoldError> {
        if wanted.from.zip(wanted.to).is_some_and(|(from, to)| to <= from) {
            return Err(HoldError::NoTime);
        }
        self.all_exist(&wanted.of).await?;
        let stamp = Stamp::now(&self.clock, by);
        let hold = LegalHold {
            id: self.clock.id(HoldId::known),
            name: wanted.name.into(),
            of: wanted.of,
            from: wanted.from,
            to: wanted.to,
            placed_at: stamp.at,
            placed_by: by.actor,
            lifted_at: None,
            lifted_by: None,
        };
        if !holds::place(&self.pool, &hold, stamp).await? {
            return Err(HoldError::TooMany);
        }
        // Any later deletion is requested by an eraser that knows the hold, so only those in flight remain.
        let mut under_way = kept::deletions(&self.pool, None).await?;
        let begun = Instant::now();
        while !under_way.is_empty() {
            if begun.elapsed() > PATIENCE {
                return Err(HoldError::NotCertain);
            }
            sleep(PAUSE).await;
            under_way = kept::deletions(&self.pool, Some(&under_way)).await?;
        }
        Ok(hold)
    }

    /// Refuses unknown ids. A hold with a wrong id would silently keep nothing.
    async fn all_exist(&self, subjects: &HoldSubjects) -> Result<(), HoldError> {
        let (users, conversations) = subjects.parts();
        let known = accounts::existing(&self.pool, &users).await?;
        if let Some(unknown) = users.iter().find(|user| !known.contains(user)) {
            return Err(HoldError::NoUser(*unknown));
        }
        let looks = stream::iter(conversations).map(async |id| {
            match self.log.fold(id, None).await?.conversation.exists() {
                true => Ok(()),
                false => Err(HoldError::NoConversation(id)),
            }
        });
        looks.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// The latest holds, starting after the hold `after`.
    pub(crate) async fn holds(&self, after: Option<HoldId>, limit: i64) -> Result<Vec<LegalHold>, HoldError> {
        Ok(holds::list(&self.pool, after, limit).await?)
    }

    /// A hold.
    pub(crate) async fn hold(&self, id: HoldId) -> Result<LegalHold, HoldError> {
        holds::find(&self.pool, id).await?.ok_or(HoldError::NotFound)
    }

    /// Lifts a hold. Content that no other hold keeps is then deleted.
    pub(crate) async fn lift_hold(&self, id: HoldId, by: By) -> Result<(), HoldError> {
        match holds::lift(&self.pool, id, Stamp::now(&self.clock, by)).await? {
            true => Ok(()),
            false => Err(HoldError::NotFound),
        }
    }
}
