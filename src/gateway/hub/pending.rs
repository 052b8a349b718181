//! The frames of a topic that have not been sent yet, as each member may see them.

use std::borrow::Cow;

use crate::{
    domain::{Conversation, Event, History, Position, Recorded, UserId},
    gateway::{frames::server, wire::durable::Durable},
    live::Tracked,
};

/// The frames of the present batch that have not been sent yet.
#[derive(Default)]
pub(super) struct PendingFrames {
    frames: Vec<Durable>,
    /// The edits among the frames that not every member may read.
    edits: Vec<PendingEdit>,
}

/// A pending edit in a conversation whose members may only read what came after they joined.
struct PendingEdit {
    /// The place among the frames.
    index: usize,
    /// The message that was edited.
    message: Position,
    /// The edit for members who may not read the message: it keeps its place in the chain but has no text.
    without_text: Durable,
}

impl PendingFrames {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.edits.clear();
    }

    /// Adds an event of a conversation.
    pub(super) fn push(&mut self, recorded: &Recorded, previous: Position, tracked: &Tracked) {
        let durable = |recorded: &Recorded| Durable {
            tag: (recorded.conversation, recorded.position),
            frame: server::event(recorded, previous),
        };
        if let Some(Event::MessageEdited(edited)) = &recorded.event
            && tracked.conversation().history() == History::SinceJoin
        {
            let (index, message) = (self.frames.len(), edited.message_position);
            self.edits.push(PendingEdit { index, message, without_text: durable(&recorded.without_text()) });
        }
        self.frames.push(durable(recorded));
    }

    /// The frames for each of some users. The roster is read only if a pending edit needs it.
    pub(super) fn of_each<'a>(&'a self, tracked: &Tracked) -> impl Fn(UserId) -> Cow<'a, [Durable]> {
        let roster = (!self.edits.is_empty()).then(|| tracked.conversation());
        move |user| roster.as_ref().map_or(Cow::Borrowed(&self.frames[..]), |roster| self.of(user, roster))
    }

    /// The frames for a user. A former member reads no edit of an earlier message, because the roster does not say when
    /// that membership began.
    fn of(&self, user: UserId, roster: &Conversation) -> Cow<'_, [Durable]> {
        let visible_from = roster.visible_from(user);
        let mut frames = Cow::Borrowed(&self.frames[..]);
        let is_hidden = |edit: &&PendingEdit| visible_from.is_none_or(|from| edit.message <= from);
        for edit in self.edits.iter().filter(is_hidden) {
            frames.to_mut()[edit.index] = edit.without_text.clone();
        }
        frames
    }
}
