//! A conversation folded from the events read so far. Commands, the hub and the views use the same fold.

use std::sync::Arc;

use crate::domain::{Conversation, Event, Lane, Point, Position, UserId};

/// The roster at a position, and the chain of events that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// The roster.
    pub conversation: Arc<Conversation>,
    /// The position of the last event of the roster.
    pub roster: Position,
    /// The number of events of the roster.
    pub changes: u64,
    /// The position of the last event that counts.
    pub head: Position,
    /// The position of the last event that was read, whether the event counts or not.
    pub read: Position,
}

/// A roster as it was after one of its events. A fold that begins with a snapshot does not read the earlier
/// events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The position and the id of that event. The id proves that the snapshot belongs to the current log.
    pub at: Point,
    /// The number of events of the roster up to and including that event.
    pub changes: u64,
    /// The roster.
    pub conversation: Arc<Conversation>,
}

impl Fold {
    /// Applies the next event. Returns the position of the event before it in the chain; `None` if the event
    /// is void or was read before. If this version cannot read an event, because its lane, its type or the
    /// version of its type is newer, `event` is `None`; such an event is part of the chain all the same.
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
        }
        let changes = match event {
            Some(Event::ContentErased(erased)) => self.conversation.loses_title_by(erased),
            _ => lane == Lane::Roster,
        };
        if let Some(event) = event.filter(|_| changes) {
            Arc::make_mut(&mut self.conversation).evolve(at, event);
        }
        Some(std::mem::replace(&mut self.head, at))
    }
}

impl From<Snapshot> for Fold {
    fn from(Snapshot { at, changes, conversation }: Snapshot) -> Self {
        Self { conversation, roster: at.position, changes, head: at.position, read: at.position }
    }
}
