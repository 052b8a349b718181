//! The state in memory that the tasks of the streams keep current.

use std::sync::Arc;

use crate::{
    domain::Point,
    live::{
        conversations::Conversations,
        followers::{Followers, Most},
        grown::Grown,
        lately::Lately,
        receipts::Receipts,
        searched::Searched,
    },
    log::Log,
};

/// The state in memory that the tasks of the streams keep current. A user of one part gets only that part. Cheap to
/// clone.
#[derive(Clone)]
pub struct Current {
    /// The rosters that authorisation is decided on.
    pub conversations: Conversations,
    /// How far members have received and read.
    pub receipts: Receipts,
    /// The greatest keys of users in conversations.
    pub grown: Grown,
    /// The conversations that have been searched for keys.
    pub searched: Searched,
    /// Recent events.
    pub lately: Arc<Lately>,
    /// The clients that follow without a socket.
    pub followers: Arc<Followers>,
}

impl Current {
    /// Starts empty, with each stream followed up to the given point. `conversations` is the number of unused
    /// conversations that stay in memory.
    pub fn new(log: &Log, followed: Vec<Point>, conversations: usize, most: Most) -> Self {
        let followers = Followers::new(followed.clone(), most);
        let grown = Grown::new(&followed);
        let lately = Arc::new(Lately::new(followed.len()));
        let conversations = Conversations::new(log.clone(), followed, conversations);
        let searched = Searched::new(log.clone(), conversations.clone());
        Self { conversations, receipts: Receipts::default(), grown, searched, lately, followers }
    }
}
