//! One conversation that the follower of its stream keeps current: its roster, and the last event of its chain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Conversation, Fold, Position, Recorded};

/// A conversation that is kept current.
#[derive(Debug)]
pub struct Tracked {
    fold: Mutex<Fold>,
    turn: tokio::sync::Mutex<()>,
}

impl Tracked {
    pub(super) fn new(fold: Fold) -> Self {
        Self { fold: Mutex::new(fold), turn: tokio::sync::Mutex::default() }
    }

    /// A conversation that no follower keeps current, for tests of which users see which events.
    #[cfg(test)]
    pub(crate) fn of(fold: Fold) -> Arc<Self> {
        Arc::new(Self::new(fold))
    }

    /// Takes in the next event; `None` if the event is void or already known. Only the follower of the stream calls
    /// this.
    pub(crate) fn apply(&self, recorded: &Recorded) -> Option<Position> {
        recorded.apply_to(&mut self.fold())
    }

    fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current roster.
    pub fn conversation(&self) -> Arc<Conversation> {
        self.fold().conversation.clone()
    }

    /// The current roster, and the position of its last event.
    pub fn roster(&self) -> (Arc<Conversation>, Position) {
        let fold = self.fold();
        (fold.conversation.clone(), fold.roster)
    }

    /// Waits for the turn to change the roster, so that commands within this process do not race.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The last event that counts.
    pub fn head(&self) -> Position {
        self.fold().head
    }
}
