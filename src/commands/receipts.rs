//! How far everybody has got: watermarks that only rise, told to the log at most once a second for
//! each user and conversation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::PgPool;
use tokio::time::{Instant, timeout};

use crate::{
    commands::deadlines::OWN_EVENT,
    domain::{ConversationId, Position, ReceiptAdvanced, UserId},
    live::Kept,
    log::Unavailable,
    views::{self, Checkpoint, Progress},
};

/// So many watermarks are remembered while nobody moves them.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process knows to be in the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts {
    pool: PgPool,
    progress: Progress,
    told: Arc<Mutex<Kept<Of, Entry>>>,
}

/// Whose watermarks, and where.
type Of = (ConversationId, UserId);

pub(super) struct Entry {
    pub(super) marks: Mutex<Marks>,
    /// When it was last told; whoever holds it is the one who tells.
    pub(super) turn: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
pub(super) struct Marks {
    /// What has been asked for; more than what is told, it may not be told yet.
    pub(super) wanted: ReceiptAdvanced,
    /// What the log has.
    pub(super) told: ReceiptAdvanced,
    /// Up to where it is known to have it.
    pub(super) at: Position,
}

impl Receipts {
    /// Knows none yet; the view is asked for what was told before.
    pub fn new(pool: PgPool, progress: Progress) -> Self {
        let told = Arc::new(Mutex::new(Kept::new(REMEMBERED)));
        Self { pool, progress, told }
    }

    /// Hears what the log has, from whichever node. Two nodes that tell at the same moment may still
    /// tell the lower one last: readers keep the greatest.
    pub fn hear(&self, id: ConversationId, user: UserId, at: Position, receipt: ReceiptAdvanced) {
        if let Some(entry) = self.entry((id, user)) {
            let mut marks = entry.marks();
            marks.told = higher(marks.told, receipt);
            marks.wanted = higher(marks.wanted, receipt);
            marks.at = marks.at.max(at);
        }
    }

    /// What the view has, which is given a moment to come to what this process has followed: what
    /// comes later is heard.
    pub(super) async fn stored(
        &self,
        id: ConversationId,
        user: UserId,
        followed: Checkpoint,
    ) -> Result<ReceiptAdvanced, Unavailable> {
        self.progress.reached(followed, OWN_EVENT).await.map_err(Unavailable::because)?;
        match timeout(OWN_EVENT, views::watermarks(&self.pool, id, user)).await {
            Ok(stored) => stored.map_err(Unavailable::because),
            Err(_) => Err(Unavailable::because("the views do not answer in time")),
        }
    }

    fn told(&self) -> MutexGuard<'_, Kept<Of, Entry>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, of: Of) -> Option<Arc<Entry>> {
        self.told().get(&of)
    }

    pub(super) fn begin(&self, of: Of, told: ReceiptAdvanced) -> Arc<Entry> {
        let marks = Marks { wanted: told, told, at: Position::START };
        let entry = || Entry { marks: Mutex::new(marks), turn: tokio::sync::Mutex::default() };
        self.told().get_or_insert_with(of, entry)
    }
}

impl Entry {
    pub(super) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn higher(one: ReceiptAdvanced, other: ReceiptAdvanced) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: one.delivered.max(other.delivered), read: one.read.max(other.read) }
}
