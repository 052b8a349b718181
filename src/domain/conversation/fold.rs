//! A conversation as far as its events have been read: the same fold for commands, hub and views.

use std::sync::Arc;

use crate::domain::{Conversation, Event, Lane, Point, Position, UserId};

/// The roster at a position, and the chain of events that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// The roster.
    pub conversation: Arc<Conversation>,
    /// The last event of the roster.
    pub roster: Position,
    /// How many events the roster has had.
    pub changes: u64,
    /// The last event that counts.
    pub head: Position,
    /// The last event that was read, whether it counts or not.
    pub read: Position,
}

/// A roster as it was behind one of its events. A fold that begins with it need not read the events before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The event, which proves that the snapshot is of the log at hand.
    pub at: Point,
    /// How many events the roster had had, this one included.
    pub changes: u64,
    /// The roster.
    pub conversation: Arc<Conversation>,
}

impl Fold {
    /// Takes in the next event. Answers the position of the one before it in the chain, or `None`
    /// if it is void or was read before. An event that this version cannot read, because its lane, its type or the
    /// version of its type is newer, has no `event`; it is part of the chain all the same.
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
            self.changes += 1;
            if let Some(event) = event {
                Arc::make_mut(&mut self.conversation).evolve(at, event);
            }
        }
        Some(std::mem::replace(&mut self.head, at))
    }
}

impl From<Snapshot> for Fold {
    fn from(Snapshot { at, changes, conversation }: Snapshot) -> Self {
        Self { conversation, roster: at.position, changes, head: at.position, read: at.position }
    }
}
