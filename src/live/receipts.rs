//! The watermarks of members: how far they have received and read. Watermarks only rise. This process keeps the
//! watermarks current of the users who advance theirs here.
//!
//! This is a register: an entry stays the same entry for as long as a request holds it, because the request waits in it
//! for its turn to append.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Position, ReceiptAdvanced, UserId},
    live::register::Register,
};

/// The number of unused watermarks that stay in memory.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process knows to be in the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts(Arc<Mutex<Register<Of, Watermarks>>>);

/// A user in a conversation.
type Of = (ConversationId, UserId);

/// The watermarks of one user in one conversation.
pub struct Watermarks {
    marks: Mutex<ToldMarks>,
    /// The holder of this lock appends the next receipt.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// How far one user has received and read.
#[derive(Clone, Copy)]
pub(crate) struct ToldMarks {
    /// The highest requested watermarks. Above `told`, they are not in the log yet.
    pub(crate) wanted: ReceiptAdvanced,
    /// The highest watermarks in the log.
    pub(crate) told: ReceiptAdvanced,
    /// The last position at which the log is known to contain `told`.
    pub(crate) at: Position,
    /// When the last receipt was appended here, or heard from any node.
    pub(crate) last: Option<Instant>,
}

impl Default for Receipts {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Register::new("receipts", REMEMBERED))))
    }
}

impl Receipts {
    /// Hears a receipt that is in the log and counts, appended by this node or another one. A receipt of a user who was
    /// not a member is void for all readers, so it has told nothing. A receipt that is not heard although it counts is
    /// at most appended again. Two nodes that append at the same
    /// moment may append the lower receipt last. That does no harm, because watermarks only rise, here and in all
    /// readers.
    ///
    /// A receipt without an entry is skipped. The order of [`Self::begin`] makes that safe: the caller notes a position
    /// that was followed, *then* queries the view as of this position, and *then* begins the entry. The view has each
    /// receipt up to that position. A receipt after it that arrives before the entry begins is at most appended again.
    /// If the view were queried without a position, it could lag behind receipts that were skipped long before, and
    /// every one of those would be appended again.
    pub(crate) fn hear(&self, id: ConversationId, user: UserId, at: Position, receipt: ReceiptAdvanced) {
        let entry = self.register().peek(&(id, user));
        if let Some(entry) = entry {
            let mut marks = entry.marks();
            marks.told = higher(marks.told, receipt);
            marks.wanted = higher(marks.wanted, receipt);
            marks.at = marks.at.max(at);
            marks.last = Some(Instant::now());
        }
    }

    fn register(&self) -> MutexGuard<'_, Register<Of, Watermarks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, of: Of) -> Option<Arc<Watermarks>> {
        self.register().get(&of)
    }

    /// The entry. It begins with the watermarks of the view, unless another request has begun it meanwhile.
    pub(crate) fn begin(&self, of: Of, told: ReceiptAdvanced) -> Arc<Watermarks> {
        let marks = ToldMarks { wanted: told, told, at: Position::START, last: None };
        let entry = || Watermarks { marks: Mutex::new(marks), turn: tokio::sync::Mutex::default() };
        self.register().get_or_insert_with(of, entry)
    }
}

impl Watermarks {
    pub(crate) fn marks(&self) -> MutexGuard<'_, ToldMarks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The higher value of each of the two watermarks.
pub(crate) fn higher(one: ReceiptAdvanced, other: ReceiptAdvanced) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: one.delivered.max(other.delivered), read: one.read.max(other.read) }
}
