//! The watermarks of members: how far they have received and read. Watermarks only rise. This process keeps the
//! watermarks current of the users who advance theirs here, for as long as it has the rosters of their conversations.
//!
//! This is a register: an entry stays the same entry for as long as a request holds it, because the request waits in it
//! for its turn to append.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, Position, ReceiptAdvanced, UserId},
    live::{register::Register, tracked::Tracked},
};

/// The number of unused watermarks that stay in memory.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process knows to be in the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts(Arc<Mutex<Register<Of, Watermarks>>>);

/// A user in a conversation.
type Of = (ConversationId, UserId);

/// The watermarks of one user in one conversation.
#[derive(Default)]
pub struct Watermarks {
    marks: Mutex<ToldMarks>,
    /// The roster since whose reading no receipt is missing here. A receipt is heard only while the roster of its
    /// conversation is in memory. Another roster in memory shows that there was a time without one.
    under: Mutex<Weak<Tracked>>,
    /// The holder of this lock appends the next receipt.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// How far one user has received and read.
#[derive(Clone, Copy, Default)]
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
    /// not a member is void for all readers, so it has told nothing. A receipt without an entry is skipped, and
    /// [`Watermarks::learn`] catches up with it.
    ///
    /// Two nodes that append at the same moment may append the lower receipt last. That does no harm, because watermarks
    /// only rise, here and in all readers.
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

    /// The entry, which may have missed receipts.
    pub(crate) fn of(&self, of: Of) -> Arc<Watermarks> {
        self.register().get_or_insert_with(of, Watermarks::default)
    }
}

impl Watermarks {
    /// Whether no receipt is missing: this process has had this roster since the entry has learnt what came before.
    pub(crate) fn is_complete(&self, roster: &Arc<Tracked>) -> bool {
        self.under.lock().unwrap_or_else(PoisonError::into_inner).as_ptr() == Arc::as_ptr(roster)
    }

    /// Learns the watermarks of the view, and is complete for as long as the roster stays in memory.
    ///
    /// This order leaves no gap: the caller holds the roster, *then* has the entry, *then* notes the head of the roster,
    /// and *then* queries the view as of this head. The view has each receipt up to the head, whoever heard it. A
    /// receipt after the head is applied to the held roster after the head was noted, so it counts here and is heard by
    /// the entry, which was there by then.
    pub(crate) fn learn(&self, stored: ReceiptAdvanced, roster: &Arc<Tracked>) {
        self.hear(stored);
        *self.under.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(roster);
    }

    /// Hears of watermarks that are in the log, perhaps not of the last ones.
    pub(crate) fn hear(&self, stored: ReceiptAdvanced) {
        let mut marks = self.marks();
        marks.told = higher(marks.told, stored);
        marks.wanted = higher(marks.wanted, stored);
    }

    pub(crate) fn marks(&self) -> MutexGuard<'_, ToldMarks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The higher value of each of the two watermarks.
pub(crate) fn higher(one: ReceiptAdvanced, other: ReceiptAdvanced) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: one.delivered.max(other.delivered), read: one.read.max(other.read) }
}
