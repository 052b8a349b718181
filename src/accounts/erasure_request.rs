//! A request for an erasure: what it names, and how far it has come.

use crate::{
    accounts::erasure_scope::ErasureScope,
    domain::{ConversationId, ErasureId, HoldId, Position, Time, UserId},
};

/// A request for an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasureRequest {
    /// The id of the request.
    pub id: ErasureId,
    /// What is erased.
    pub scope: ErasureScope,
    /// The account that is erased, if one is.
    pub account: Option<UserId>,
    /// Why.
    pub reason: String,
    /// The account that has asked.
    pub actor: UserId,
    /// The time of the request.
    pub requested_at: Time,
    /// The time at which the erasure begins.
    pub starts_at: Time,
    /// The number of messages: of the request, and once they are hidden, of those that were there. Each other position of
    /// the request is one of a title.
    pub messages: u32,
    /// The number of edits of the messages.
    pub edits: u32,
    /// The number of rows of accounts that were emptied or removed.
    pub rows: u32,
    /// When the log said of everything that it is erased.
    pub hidden_at: Option<Time>,
    /// When the views had followed.
    pub views_done_at: Option<Time>,
    /// When the log had nothing at the positions any more.
    pub log_done_at: Option<Time>,
    /// When no Raft log had anything of it any more.
    pub wal_compacted_at: Option<Time>,
    /// When no archive had anything of it any more.
    pub archive_done_at: Option<Time>,
    /// When every position was read again.
    pub done_at: Option<Time>,
    /// The legal holds that keep all that is left.
    pub held_by: Vec<HoldId>,
    /// The copies of the log, by name, that may have something of what the log has lost.
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

    /// A request for messages, which begins now. Nothing of it is done yet.
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
    /// The positions of the messages and of the events that gave the titles, in order. Without any, all messages of the account
    /// that is erased are meant.
    pub positions: Vec<Position>,
    /// The last event that says of content of this request that it is erased.
    pub told_at: Option<Position>,
}

/// What was found and told of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ToldErasure {
    /// The last event that tells, by conversation.
    pub told_at: Vec<(ConversationId, Position)>,
    /// The number of erased messages.
    pub messages: u32,
    /// The number of their erased edits.
    pub edits: u32,
}
