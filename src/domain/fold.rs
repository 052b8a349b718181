//! A conversation as far as its events have been read: the same fold for commands, hub and views.

use std::sync::Arc;

use super::{Conversation, Event, Lane, Position, UserId};

/// The roster at a position, and the chain of events that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// The roster.
    pub conversation: Arc<Conversation>,
    /// The last event of the roster.
    pub roster: Position,
    /// The last event that counts.
    pub head: Position,
    /// The last event that was read, whether it counts or not.
    pub read: Position,
}

impl Fold {
    /// Takes in the next event. Answers the position of the one before it in the chain, or `None`
    /// if it is void or was read before. An event of a newer version's type has no `event`; it is
    /// part of the chain all the same.
    pub fn apply(
        &mut self,
        at: Position,
        actor: UserId,
        lane: Lane,
        event: Option<&Event>,
    ) -> Option<Position> {
        if at <= self.read {
            return None;
        }
        self.read = at;
        if !self.conversation.counts(actor, lane) {
            return None;
        }
        if lane == Lane::Roster {
            self.roster = at;
            if let Some(event) = event {
                Arc::make_mut(&mut self.conversation).evolve(at, event);
            }
        }
        Some(std::mem::replace(&mut self.head, at))
    }
}
