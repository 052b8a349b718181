//! The conversations of one stream that this process knows or reads. This is plain bookkeeping under one lock, which
//! the follower of the stream takes too: an event that it delivers is in a conversation before or after each step here,
//! never in between.
//!
//! Nothing here is invalidated, so no question numbers are needed ([`Cache`](crate::cache::Cache) has them): a reading
//! is brought up to date instead. While a reading goes on, the follower leaves each event of the conversation with it,
//! and the end of the reading applies them. Whatever the order of asking, reading and delivering, no event is missing.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tokio::sync::oneshot;

use crate::{
    domain::{ConversationId, Fold, Recorded},
    live::{doubted::Doubted, register::Register, tracked::Tracked},
    log::Unavailable,
};

/// The conversations of one stream.
pub(super) struct KnownRosters {
    pub(super) ready: Register<ConversationId, Tracked>,
    /// Ids that were looked up for strangers, and whether there is such a conversation.
    pub(super) doubted: Doubted,
    /// Conversations that are being read. None of them is in `ready`.
    pub(super) loading: HashMap<ConversationId, Loading>,
    /// The number of readings that have begun.
    readings: u64,
}

/// A conversation that is being read.
pub(super) struct Loading {
    /// The number of the reading that answers. The follower can overtake a reading by taking the conversation in. The
    /// overtaken reading must not answer for a later one, because events between the two are in neither of them.
    reading: u64,
    pub(super) waiting: Vec<oneshot::Sender<Loaded>>,
    /// The events that the follower has delivered since the reading began.
    pub(super) meanwhile: Vec<Recorded>,
}

/// A conversation that was read; `None` if there is none with that id.
pub(super) type Loaded = Result<Option<Arc<Tracked>>, Unavailable>;

/// The state of a conversation that a caller asks for.
pub(super) enum Asked {
    Ready(Arc<Tracked>),
    /// No conversation has that id.
    Absent,
    /// Another caller has begun to read it.
    Waiting(oneshot::Receiver<Loaded>),
    /// No caller reads it yet, so the caller has to begin the reading with this number.
    Unread(u64, oneshot::Receiver<Loaded>),
}

impl KnownRosters {
    /// Starts without conversations, for one of `streams` streams, which share the capacity for unused conversations.
    pub(super) fn among(streams: usize, capacity: usize) -> Self {
        Self {
            ready: Register::new("rosters", capacity.div_ceil(streams)),
            doubted: Doubted::among(streams),
            loading: HashMap::new(),
            readings: 0,
        }
    }

    pub(super) fn ask(&mut self, id: ConversationId) -> Asked {
        if let Some(tracked) = self.ready.get(&id) {
            return Asked::Ready(tracked);
        }
        if self.doubted.is_there(id) == Some(false) {
            return Asked::Absent;
        }
        let (answer, answered) = oneshot::channel();
        match self.loading.entry(id) {
            Entry::Occupied(mut loading) => {
                loading.get_mut().waiting.push(answer);
                Asked::Waiting(answered)
            }
            Entry::Vacant(place) => {
                self.readings += 1;
                let reading = self.readings;
                place.insert(Loading { reading, waiting: vec![answer], meanwhile: Vec::new() });
                Asked::Unread(reading, answered)
            }
        }
    }

    /// Ends a reading, unless it was overtaken.
    pub(super) fn read(&mut self, id: ConversationId, reading: u64) -> Option<Loading> {
        let counts = self.loading.get(&id).is_some_and(|loading| loading.reading == reading);
        counts.then(|| self.loading.remove(&id)).flatten()
    }

    pub(super) fn keep(&mut self, id: ConversationId, fold: Fold) -> Arc<Tracked> {
        self.doubted.began(id);
        self.ready.get_or_insert_with(id, || Tracked::new(fold))
    }
}
