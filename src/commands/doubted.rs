//! Saying no to a stranger, so that neither the answer nor its time tells whether there is such a
//! conversation: the id of a direct one can be computed by everybody who knows the two.
//!
//! The log is asked once about an id, whether it names a conversation or not, and the bounded memory
//! here spares the next stranger the question. That something is not there is remembered as safely as what
//! is: the follower of the stream sees it begin, on whatever node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    commands::{Commands, Refused, Tracked, kept::Kept},
    domain::{ConversationId, Event, Rejection, UserId},
    log::{Recorded, Unavailable},
};

/// So many ids are remembered by a process.
const REMEMBERED: usize = 16_384;
/// A no is told on a beat, which a look-up in the log does not miss: what the log has to read from a
/// disk comes later than what is not there.
const BEAT: Duration = Duration::from_millis(25);

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

impl Commands {
    /// The conversation, for somebody who is in it; for all others there is none.
    pub async fn of_member(&self, user: UserId, id: ConversationId) -> Result<Arc<Tracked>, Refused> {
        self.conversations.must_be_current(id)?;
        let is_in = |tracked: &Arc<Tracked>| tracked.conversation().membership(user).is_some();
        if let Some(mine) = self.conversations.at_hand(id).filter(is_in) {
            return Ok(mine);
        }
        let asked = Instant::now();
        if let Some(mine) = self.conversations.look_up(id).await?.filter(is_in) {
            return Ok(mine);
        }
        self.conversations.note_doubt(id);
        // Another node may have brought them in a moment ago: who is sent away is not there for sure.
        self.conversations.catch_up(id).await?;
        if let Some(mine) = self.conversations.get(id).await?.filter(is_in) {
            return Ok(mine);
        }
        let beats = asked.elapsed().div_duration_f32(BEAT).ceil();
        sleep_until(asked + BEAT.mul_f32(beats)).await;
        Err(Rejection::NotFound.into())
    }

    /// Whether two people are in a conversation.
    pub async fn share(&self, id: ConversationId, one: UserId, other: UserId) -> Result<bool, Unavailable> {
        let Some(tracked) = self.conversations.get(id).await? else { return Ok(false) };
        let roster = tracked.conversation();
        Ok([one, other].iter().all(|user| roster.membership(*user).is_some()))
    }

    /// Whether there is such a conversation, for those whose it would be.
    pub(super) async fn is_there(&self, id: ConversationId) -> Result<bool, Unavailable> {
        if self.conversations.get(id).await?.is_some() {
            return Ok(true);
        }
        self.conversations.catch_up(id).await?;
        Ok(self.conversations.get(id).await?.is_some())
    }
}
