//! A request for an erasure: its subjects and its progress.

use crate::{
    accounts::erasure_scope::ErasureScope,
    domain::{ConversationId, ErasureId, EventId, HoldId, Position, Time, UserId},
};

/// A request for an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasureRequest {
    /// The id of the request.
    pub id: ErasureId,
    /// The scope of the erasure.
    pub scope: ErasureScope,
    /// The account that is erased, if one is.
    pub account: Option<UserId>,
    /// The reason.
    pub reason: String,
    /// The account that made the request.
    pub actor: UserId,
    /// The time of the request.
    pub requested_at: Time,
    /// The time at which the erasure begins.
    pub starts_at: Time,
    /// The number of messages: first those of the request, and once they are hidden, those that were found. Every other
    /// position of the request is that of a title.
    pub messages: u32,
    /// The number of edits of the messages.
    pub edits: u32,
    /// The number of rows of accounts that were emptied or removed.
    pub rows: u32,
    /// When the log had an event that erases each position.
    pub hidden_at: Option<Time>,
    /// When the views had applied the erasure.
    pub views_done_at: Option<Time>,
    /// When the log no longer had content at the positions.
    pub log_done_at: Option<Time>,
    /// When no Raft log had anything of it any more.
    pub wal_compacted_at: Option<Time>,
    /// When the archives no longer had content of the request.
    pub archive_done_at: Option<Time>,
    /// When every position had been read again.
    pub done_at: Option<Time>,
    /// The legal holds that keep everything that is left.
    pub held_by: Vec<HoldId>,
    /// The names of the copies of the log that may have content that the log no longer has.
    pub waits_for: Vec<String>,
    /// The messages and titles, by conversation.
    pub parts: Vec<ErasurePart>,
}

impl ErasureRequest {
    /// The number of titles, if the request names some.
    pub(crate) fn titles(&self) -> Option<u32> {
        let named: usize = self.parts.iter().map(|part| part.positions.len()).sum();
        let titles = u32::try_from(named).unwrap_or(u32::MAX).saturating_sub(self.messages);
        Some(titles).filter(|titles| *titles > 0)
    }

    /// A request for messages, which begins now, with no step done yet.
    pub(crate) fn of_messages(
        id: ErasureId,
        actor: UserId,
        reason: String,
        now: Time,
        parts: Vec<ErasurePart>,
    ) -> Self {
        let messages: usize = parts.iter().map(|part| part.positions.len()).sum();
        Self {
            id,
            scope: ErasureScope::Content,
            account: None,
            reason,
            actor,
            requested_at: now,
            starts_at: now,
            messages: messages.try_into().unwrap_or(u32::MAX),
            edits: 0,
            rows: 0,
            hidden_at: None,
            views_done_at: None,
            log_done_at: None,
            wal_compacted_at: None,
            archive_done_at: None,
            done_at: None,
            held_by: Vec::new(),
            waits_for: Vec::new(),
            parts,
        }
    }
}

/// The messages and titles of a request in one conversation: those at some positions, or all messages of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasurePart {
    /// The conversation.
    pub conversation: ConversationId,
    /// The positions of the messages and of the events that gave the titles, in order. Without positions, the part
    /// covers all messages of the erased account.
    pub positions: Vec<Position>,
    /// The ids of the events at these positions, or none if they were not read. A request waits for its time, and after
    /// a restore another event may be at a position.
    pub events: Vec<EventId>,
    /// The position of the last event in the log that erases content of this request.
    pub told_at: Option<Position>,
}

/// The result of hiding a request: what was found, and where the log says that it is erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToldErasure {
    /// The position of the last event that erases content, by conversation.
    pub told_at: Vec<(ConversationId, Position)>,
    /// The number of erased messages.
    pub messages: u32,
    /// The number of their erased edits.
    pub edits: u32,
}
