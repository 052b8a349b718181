//! Durable frames, and those that a socket on hold keeps.

use bytes::Bytes;

use crate::domain::{ConversationId, Position};

/// The event in a durable frame: its conversation and its position there.
pub type Tag = (ConversationId, Position);

/// A frame that is never skipped. If it cannot be queued, the socket is closed and the client resumes.
#[derive(Debug, Clone)]
pub struct Durable {
    /// The event that the frame shows.
    pub tag: Tag,
    /// The encoded frame, shared by all sockets.
    pub frame: Bytes,
}

/// The durable frames that arrived while a socket was on hold.
#[derive(Default)]
pub(super) struct HeldFrames {
    frames: Vec<Durable>,
    bytes: usize,
    is_overfull: bool,
}

impl HeldFrames {
    /// Keeps a frame. If there is no room for it, forgets all frames and keeps no more.
    pub(super) fn keep(&mut self, durable: &Durable, has_room: bool) {
        if !has_room {
            *self = Self { is_overfull: true, ..Self::default() };
        } else if !self.is_overfull {
            self.bytes += durable.frame.len();
            self.frames.push(durable.clone());
        }
    }

    /// Whether there were more frames than there was room for.
    pub(super) fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    pub(super) fn frames(&self) -> &[Durable] {
        &self.frames
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
