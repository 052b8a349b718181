//! The messages and titles that a request is about.

use std::collections::BTreeSet;

use crate::{
    accounts::erasures::{ErasurePart, ErasureRequest},
    domain::{Position, UserId},
    log::ErasedEvent,
};

/// The messages and titles of a conversation that a request is about.
pub(super) enum WantedContent {
    /// Those at these positions.
    At(BTreeSet<Position>),
    /// All messages that somebody has sent, also those that do not count. Titles stay.
    Of(UserId),
}

impl WantedContent {
    pub(super) fn of(erasure: &ErasureRequest, part: &ErasurePart) -> Self {
        match erasure.account {
            Some(account) => Self::Of(account),
            None => Self::At(part.positions.iter().copied().collect()),
        }
    }

    /// Whether the message at this position, or the message that `actor` edits there, is one of them.
    pub(super) fn has_message(&self, position: Position, actor: UserId) -> bool {
        match self {
            Self::At(positions) => positions.contains(&position),
            Self::Of(account) => *account == actor,
        }
    }

    /// Whether the title that was given at this position is one of them.
    pub(super) fn has_title(&self, position: Position) -> bool {
        matches!(self, Self::At(positions) if positions.contains(&position))
    }

    /// The position behind which all of them stand.
    pub(super) fn before(&self) -> Position {
        match self {
            Self::At(positions) => positions.first().map_or(Position::START, |at| Position(at.0 - 1)),
            Self::Of(_) => Position::START,
        }
    }

    /// Those of the erased events of the conversation that are these messages or edits of them, or gave these titles, whoever has
    /// asked for their erasure.
    pub(super) fn among(&self, erased: Vec<ErasedEvent>) -> Vec<ErasedEvent> {
        ErasedEvent::named(erased, |one| match one.is_message {
            true => self.has_message(one.position, one.actor),
            false => self.has_title(one.position),
        })
    }
}
