//! The messages and titles that an erasure is about.

use std::collections::{BTreeSet, HashSet};

use crate::{
    domain::{Position, UserId},
    log::memory::erased::ErasedEvent,
};

/// The messages and titles of a conversation that an erasure is about.
pub(crate) enum WantedContent {
    /// The messages and titles at these positions.
    At(BTreeSet<Position>),
    /// All messages that a user has sent, including void ones. Titles stay.
    Of(UserId),
}

impl WantedContent {
    /// The messages of an account, or without one what is at the positions.
    pub(crate) fn of(account: Option<UserId>, positions: &[Position]) -> Self {
        match account {
            Some(account) => Self::Of(account),
            None => Self::At(positions.iter().copied().collect()),
        }
    }

    /// Whether the message at this position is included. For an edit, `position` is that of the edited message, and
    /// `actor` the author of the edit.
    pub(crate) fn has_message(&self, position: Position, actor: UserId) -> bool {
        match self {
            Self::At(positions) => positions.contains(&position),
            Self::Of(account) => *account == actor,
        }
    }

    /// Whether the title that was set at this position is included.
    pub(crate) fn has_title(&self, position: Position) -> bool {
        matches!(self, Self::At(positions) if positions.contains(&position))
    }

    /// A position before all of them.
    pub(crate) fn before(&self) -> Position {
        match self {
            Self::At(positions) => positions.first().map_or(Position::START, |at| Position(at.0 - 1)),
            Self::Of(_) => Position::START,
        }
    }

    /// Filters the erased events of the conversation for these messages, their edits and these titles. It does not
    /// matter which request erased them.
    pub(crate) fn among(&self, mut erased: Vec<ErasedEvent>) -> Vec<ErasedEvent> {
        let is_wanted = |one: &&ErasedEvent| one.is_message && self.has_message(one.position, one.actor);
        let messages: HashSet<_> = erased.iter().filter(is_wanted).map(|one| one.message).collect();
        erased.retain(|one| match one.message {
            Some(_) => messages.contains(&one.message),
            None => self.has_title(one.position),
        });
        erased
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ConversationId, EventId, MessageId, Time};

    const ANA: UserId = UserId::known(Uuid::from_u128(1));
    const BEN: UserId = UserId::known(Uuid::from_u128(2));

    fn erased(position: u64, actor: UserId, message: Option<u128>, is_message: bool) -> ErasedEvent {
        ErasedEvent {
            conversation: ConversationId::known(Uuid::nil()),
            position: Position(position),
            time: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            id: EventId::known(Uuid::from_u128(position.into())),
            actor,
            message: message.map(|id| MessageId::known(Uuid::from_u128(id))),
            is_message,
            told_at: Position(99),
        }
    }

    #[test]
    fn a_message_comes_with_its_edits_and_a_title_only_by_its_position() {
        let all = [
            erased(1, ANA, None, false),
            erased(2, ANA, Some(2), true),
            erased(3, BEN, Some(3), true),
            erased(4, ANA, Some(2), false),
            erased(5, BEN, Some(3), false),
            // An edit of a message that another request may name later.
            erased(6, ANA, Some(7), false),
        ];
        let among = |account, positions: &[u64]| {
            let positions: Vec<Position> = positions.iter().copied().map(Position).collect();
            let wanted = WantedContent::of(account, &positions).among(all.to_vec());
            wanted.into_iter().map(|one| one.position.0).collect::<Vec<_>>()
        };
        assert_eq!(among(None, &[1, 3]), [1, 3, 5]);
        assert_eq!(among(None, &[4, 6]), [0_u64; 0], "an edit is not named by itself");
        assert_eq!(among(Some(ANA), &[]), [2, 4]);
    }
}
