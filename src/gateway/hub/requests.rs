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
    /// A listener has no session any more.
    Leave(Arc<Listener>),
    /// A change of presence, and from whom it is hidden.
    Presence(Box<Recorded>, Blocklist),
    /// A user is typing.
    Typing(ConversationId, UserId),
    /// Asks where the stream stands; with the number of the last beat that was told.
    Beat(u64, oneshot::Sender<Beat>),
}

/// A listener, and the conversations that it joins. Conversations without a [`Tracked`] are topics of the listener
/// already.
pub(super) struct Joining {
    pub(super) listener: Arc<Listener>,
    pub(super) conversations: Vec<(ConversationId, Option<Arc<Tracked>>)>,
}

/// Where a stream stood when a listener joined.
pub(in crate::gateway) struct Joined {
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) admissions: Vec<Admission>,
}

/// Where a stream stands, and what has moved for whom since the last beat that was told.
pub(in crate::gateway) struct Beat {
    pub(in crate::gateway) stream: usize,
    pub(in crate::gateway) number: u64,
    pub(in crate::gateway) at: Point,
    pub(in crate::gateway) moved: Heads,
}
