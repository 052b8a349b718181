//! What was looked up for strangers, and whether it is there. The log is asked once about an id, whether the id
//! names a conversation or not, and the bounded memory here spares the log the question of the next stranger.
//!
//! An absence is remembered as safely as a presence: the follower of the stream sees the conversation begin, on
//! whatever node it was started.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{
    domain::{ConversationId, Event, Recorded},
    live::kept::Kept,
};

/// So many ids are remembered by a process.
const REMEMBERED: usize = 16_384;

/// The ids of one stream that strangers asked for, and whether there is such a conversation.
pub(super) struct Doubted(Kept<ConversationId, AtomicBool>);

impl Doubted {
    /// For one of so many streams.
    pub(super) fn among(streams: usize) -> Self {
        Self(Kept::new(REMEMBERED.div_ceil(streams)))
    }

    /// What is remembered of an id.
    pub(super) fn is_there(&mut self, id: ConversationId) -> Option<bool> {
        self.0.get(&id).map(|there| there.load(Ordering::Relaxed))
    }

    /// Remembers what was found. Whatever the follower delivered so far has to be in it, so this is called
    /// under the lock under which the follower delivers.
    pub(super) fn note(&mut self, id: ConversationId, is_there: bool) {
        self.0.get_or_insert_with(id, AtomicBool::default).store(is_there, Ordering::Relaxed);
    }

    /// There is such a conversation now.
    pub(super) fn began(&self, id: ConversationId) {
        if let Some(there) = self.0.peek(&id) {
            there.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a conversation of which it is remembered that there is none begins with an event.
    pub(super) fn begins(&self, recorded: &Recorded) -> bool {
        matches!(recorded.event, Some(Event::ConversationCreated(_)))
            && self.0.peek(&recorded.conversation).is_some_and(|there| !there.load(Ordering::Relaxed))
    }
}
