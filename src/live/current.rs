//! All that is kept current because the log is followed.

use std::sync::Arc;

use crate::{
    domain::Point,
    live::{
        conversations::Conversations,
        followers::{Followers, Most},
        lately::Lately,
        receipts::Receipts,
        searched::Searched,
    },
    log::Log,
};

/// All that the tasks that follow the streams keep current. Each part is handed to its users by itself. Cheap to
/// clone.
#[derive(Clone)]
pub struct Current {
    /// The rosters on which authorisation is decided.
    pub conversations: Conversations,
    /// How far members have got.
    pub receipts: Receipts,
    /// The conversations that were searched for keys.
    pub searched: Searched,
    /// Recent events.
    pub lately: Arc<Lately>,
    /// The clients that follow without a socket.
    pub followers: Arc<Followers>,
}

impl Current {
    /// Knows nothing yet, and has followed each stream up to the given point. So many conversations are kept while
    /// nobody uses them.
    pub fn new(log: &Log, followed: Vec<Point>, conversations: usize, most: Most) -> Self {
        let followers = Followers::new(followed.clone(), most);
        let lately = Arc::new(Lately::new(followed.len()));
        let conversations = Conversations::new(log.clone(), followed, conversations);
        let searched = Searched::new(log.clone(), conversations.clone());
        Self { conversations, receipts: Receipts::default(), searched, lately, followers }
    }
}
