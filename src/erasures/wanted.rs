//! The messages and titles that a request is about.

use std::collections::BTreeSet;

use crate::{
    accounts::erasures::{ErasurePart, ErasureRequest},
    domain::{Position, UserId},
    log::ErasedEvent,
};

/// The messages and titles of a conversation that a request is about.
pub(super) enum WantedContent {
    /// The messages and titles at these positions.
    At(BTreeSet<Position>),
    /// All messages that a user has sent, including void ones. Titles stay.
    Of(UserId),
}

impl WantedContent {
    pub(super) fn of(erasure: &ErasureRequest, part: &ErasurePart) -> Self {
        match erasure.account {
            Some(account) => Self::Of(account),
            None => Self::At(part.positions.iter().copied().collect()),
        }
    }

    /// Whether the message at this position is included. For an edit, `position` is that of the edited message, and
    /// `actor` the author of the edit.
    pub(super) fn has_message(&self, position: Position, actor: UserId) -> bool {
        match self {
            Self::At(positions) => positions.contains(&position),
            Self::Of(account) => *account == actor,
        }
    }

    /// Whether the title that was set at this position is included.
    pub(super) fn has_title(&self, position: Position) -> bool {
        matches!(self, Self::At(positions) if positions.contains(&position))
    }

    /// A position before all of them.
    pub(super) fn before(&self) -> Position {
        match self {
            Self::At(positions) => positions.first().map_or(Position::START, |at| Position(at.0 - 1)),
            Self::Of(_) => Position::START,
        }
    }

    /// Filters the erased events of the conversation for these messages, their edits and these titles. It does not
    /// matter which request erased them.
    pub(super) fn among(&self, erased: Vec<ErasedEvent>) -> Vec<ErasedEvent> {
        ErasedEvent::named(erased, |one| match one.is_message {
            true => self.has_message(one.position, one.actor),
            false => self.has_title(one.position),
        })
    }
}
