//! The held events of a conversation that has to be read before they can be shown.
//!
//! The events are kept in the order of the stream, each with the listeners that it brings in, because the roster
//! changes between them. If every event were shown to all listeners, a member added by the third event would also get
//! the first two.
//!
//! The events begin at one position (`before`), which identifies the reading that they wait for. If events are given up
//! and later events are held again, these begin at a later position. The result of the first reading must not release
//! them, because it lacks the events between the two positions.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    domain::{Position, Recorded},
    gateway::hub::listeners::Listener,
};

/// The most held events of one conversation. A socket cannot take more at once either.
const EVENTS: usize = 256;
/// The most bytes in the data of the held events.
const BYTES: usize = 1 << 20;

/// An event, and the listeners that the event brings in.
pub(in crate::gateway) type Step = (Recorded, Vec<Arc<Listener>>);

/// The held events of a conversation, with the listeners that wait for them.
pub(in crate::gateway) struct Held {
    pub(in crate::gateway) since: Instant,
    /// The position before the first held event.
    before: Position,
    events: Vec<Step>,
    bytes: usize,
}

/// Why held events are given up and the sockets that wait for them closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::gateway) enum GivenUp {
    /// More has happened than can be held.
    #[error("too much happened while it was being read")]
    TooMuch,
    /// The events were held for too long.
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

    /// Adds an event. An event beyond the bounds is added too, because the caller then gives up all of them.
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

    /// The listeners that wait for the events.
    pub(in crate::gateway) fn listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.events.iter().flat_map(|(_, added)| added)
    }

    /// Whether this listener waits for the events.
    pub(in crate::gateway) fn is_for(&self, listener: &Arc<Listener>) -> bool {
        self.listeners().any(|other| Arc::ptr_eq(other, listener))
    }

    /// Removes a listener. Returns whether other listeners still wait for the events.
    pub(in crate::gateway) fn is_wanted_without(&mut self, listener: &Arc<Listener>) -> bool {
        for (_, added) in &mut self.events {
            added.retain(|other| !Arc::ptr_eq(other, listener));
        }
        self.listeners().next().is_some()
    }
}
