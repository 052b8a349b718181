//! Remembers what was looked up for strangers: whether an id names a conversation. The log is queried once for an id,
//! whether or not the id names a conversation, and this cache spares the log the same query for the next stranger.
//!
//! It is as safe to remember an absence as a presence, because the follower of the stream sees the conversation begin,
//! on whatever node it was started. All steps here run under the lock under which the follower delivers, so no question
//! numbers are needed: a look-up that is noted has everything that the follower has delivered.

use crate::{
    cache::Cache,
    domain::{ConversationId, Event, Recorded},
};

/// The most ids that a process remembers.
const REMEMBERED: usize = 16_384;

/// The ids of one stream that strangers looked up, and whether there is such a conversation.
pub(super) struct Doubted(Cache<ConversationId, bool>);

impl Doubted {
    /// For one of `streams` streams.
    pub(super) fn among(streams: usize) -> Self {
        Self(Cache::new("doubted", REMEMBERED.div_ceil(streams)))
    }

    /// The remembered answer for an id.
    pub(super) fn is_there(&self, id: ConversationId) -> Option<bool> {
        self.0.get(&id)
    }

    /// Remembers the result of a look-up.
    pub(super) fn note(&self, id: ConversationId, is_there: bool) {
        self.0.insert(id, is_there);
    }

    /// Notes that the conversation now exists.
    pub(super) fn began(&self, id: ConversationId) {
        self.0.change(&id, |is_there| *is_there = true);
    }

    /// Whether an event begins a conversation that is remembered as absent.
    pub(super) fn begins(&self, recorded: &Recorded) -> bool {
        matches!(recorded.event, Some(Event::ConversationCreated(_)))
            && self.0.get(&recorded.conversation) == Some(false)
    }
}
