//! The events of a conversation that has to be read before they can be shown.
//!
//! They are kept in the order of the stream, each with the listeners that come in by it, because the
//! roster changes between them: shown all to all, a member who came in by the third would be given the
//! first two. They begin at one position (`before`), which names the reading that they wait for: events
//! that were given up and are held again begin at a later one, and the answer of the first reading, in
//! which what lies between is missing, must not release them.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    domain::{Position, Recorded},
    gateway::hub::listeners::Listener,
};

/// The most events of one conversation that are held. A socket takes no more at once either.
const EVENTS: usize = 256;
/// The most bytes of their data.
const BYTES: usize = 1 << 20;

/// An event, and the listeners that come in by it.
pub(in crate::gateway) type Step = (Recorded, Vec<Arc<Listener>>);

/// Events that wait, and the listeners for which they wait.
pub(in crate::gateway) struct Held {
    pub(in crate::gateway) since: Instant,
    /// The position before the first of them.
    before: Position,
    events: Vec<Step>,
    bytes: usize,
}

/// Why events are held no longer and the sockets that wait for them are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::gateway) enum GivenUp {
    /// More happens than can be held.
    #[error("too much happened while it was being read")]
    TooMuch,
    /// They were held for too long.
    #[error("it could not be read in time")]
    TooLate,
}

impl Held {
    pub(in crate::gateway) fn new(before: Position, since: Instant) -> Self {
        Self { since, before, events: Vec::new(), bytes: 0 }
    }

    pub(in crate::gateway) fn before(&self) -> Position {
        self.before
    }

    /// Adds an event. What is one too many is added too: the caller gives all of it up.
    pub(in crate::gateway) fn push(
        &mut self,
        recorded: &Recorded,
        added: Vec<Arc<Listener>>,
    ) -> Result<(), GivenUp> {
        self.bytes += recorded.data.len();
        self.events.push((recorded.clone(), added));
        if self.events.len() > EVENTS || self.bytes > BYTES { Err(GivenUp::TooMuch) } else { Ok(()) }
    }

    pub(in crate::gateway) fn events(&self) -> &[Step] {
        &self.events
    }

    pub(in crate::gateway) fn into_events(self) -> Vec<Step> {
        self.events
    }

    /// The listeners for which it is held.
    pub(in crate::gateway) fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.events.iter().flat_map(|(_, added)| added)
    }

    /// Whether it is held for this listener.
    pub(in crate::gateway) fn is_for(&self, listener: &Arc<Listener>) -> bool {
        self.listeners().any(|other| Arc::ptr_eq(other, listener))
    }

    /// Leaves a listener out; whether it still is held for others.
    pub(in crate::gateway) fn is_wanted_without(&mut self, listener: &Arc<Listener>) -> bool {
        for (_, added) in &mut self.events {
            added.retain(|other| !Arc::ptr_eq(other, listener));
        }
        self.listeners().next().is_some()
    }
}
