//! Requests to the task of a stream, and its answers.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::{ConversationId, Point, Recorded, UserId},
    gateway::hub::{
        listeners::Listener,
        topics::{Admission, Heads},
    },
    live::{Blocklist, Tracked},
};

/// A request to the task of a stream.
pub(super) enum Request {
    /// A listener joins conversations.
    Join(Joining, oneshot::Sender<Joined>),
    /// A listener has no session left.
    Leave(Arc<Listener>),
    /// A change of presence, and the users from whom it is hidden.
    Presence(Box<Recorded>, Blocklist),
    /// A user is typing.
    Typing(ConversationId, UserId),
    /// Asks for the stream's position, with the number of the last beat that was sent.
    Beat(u64, oneshot::Sender<Beat>),
}

/// A listener, and the conversations that it joins. A conversation without a [`Tracked`] is already a topic of the
/// listener.
pub(super) struct Joining {
    pub(super) listener: Arc<Listener>,
    pub(super) conversations: Vec<(ConversationId, Option<Arc<Tracked>>)>,
}

/// The position of a stream when a listener joined.
pub(in crate::gateway) struct Joined {
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) admissions: Vec<Admission>,
}

/// The position of a stream, and what has moved for each listener since the last beat that was sent.
pub(in crate::gateway) struct Beat {
    pub(in crate::gateway) stream: usize,
    pub(in crate::gateway) number: u64,
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) moved: Heads,
}
