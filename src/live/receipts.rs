//! How far members have got: watermarks that only rise, kept current for the users who move theirs at this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Position, ReceiptAdvanced, UserId},
    live::kept::Kept,
};

/// So many watermarks are remembered while nobody moves them.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process knows to be in the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts(Arc<Mutex<Kept<Of, Watermarks>>>);

/// A user in a conversation.
type Of = (ConversationId, UserId);

/// The watermarks of one user in one conversation.
pub struct Watermarks {
    marks: Mutex<ToldMarks>,
    /// When a receipt was last appended. Its holder appends the next one.
    pub(crate) turn: tokio::sync::Mutex<Option<Instant>>,
}

/// How far one user has got.
#[derive(Clone, Copy)]
pub(crate) struct ToldMarks {
    /// The highest that was asked for. Above `told` it is not in the log yet.
    pub(crate) wanted: ReceiptAdvanced,
    /// The highest in the log.
    pub(crate) told: ReceiptAdvanced,
    /// The last position at which the log is known to have `told`.
    pub(crate) at: Position,
}

impl Default for Receipts {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept::new(REMEMBERED))))
    }
}

impl Receipts {
    /// Hears a receipt that is in the log, appended by this node or another one. Watermarks only rise, so no order
    /// of two receipts matters: two nodes that append at the same moment may append the lower one last, and readers
    /// keep the greatest too.
    ///
    /// A receipt without an entry is passed over. The entry that begins later begins with what the view has, and the
    /// view is asked as of a position that was followed before: a receipt between the two is at most appended again.
    pub(crate) fn hear(&self, id: ConversationId, user: UserId, at: Position, receipt: ReceiptAdvanced) {
        if let Some(entry) = self.get((id, user)) {
            let mut marks = entry.marks();
            marks.told = higher(marks.told, receipt);
            marks.wanted = higher(marks.wanted, receipt);
            marks.at = marks.at.max(at);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Of, Watermarks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, of: Of) -> Option<Arc<Watermarks>> {
        self.kept().get(&of)
    }

    /// Begins with what the view has, unless another request has begun meanwhile.
    pub(crate) fn begin(&self, of: Of, told: ReceiptAdvanced) -> Arc<Watermarks> {
        let marks = ToldMarks { wanted: told, told, at: Position::START };
        let entry = || Watermarks { marks: Mutex::new(marks), turn: tokio::sync::Mutex::default() };
        self.kept().get_or_insert_with(of, entry)
    }
}

impl Watermarks {
    pub(crate) fn marks(&self) -> MutexGuard<'_, ToldMarks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The higher one of each watermark.
pub(crate) fn higher(one: ReceiptAdvanced, other: ReceiptAdvanced) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: one.delivered.max(other.delivered), read: one.read.max(other.read) }
}
