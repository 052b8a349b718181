//! Searching the messages of a user. The views find the messages that match, and the log decides which of
//! these messages the user may see.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    error::{ReadError, unless_missing},
    open::Reading,
    when::ListPart,
};
use crate::{
    domain::{ConversationId, Position, UserId},
    shares::Sizes,
    views::{self, Hit, Message, Piece, Reader, SearchQuery},
};

/// The most conversations that one search opens at once.
const AT_ONCE: usize = 4;

/// The places for searches. A search for common words looks at many messages, so one user gets few places.
pub(crate) const SEARCHES: Sizes = Sizes {
    of_node: 16,
    of_one: 1,
    waiting_of_one: 15,
    waiting: 1_024,
    patience: Duration::from_secs(2),
    longest_rest: Duration::from_secs(1),
};

/// The conversations that a search looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchScope {
    /// All conversations of the user.
    All,
    /// One conversation, as soon as the views have reached the position.
    One(ConversationId, Option<Position>),
}

/// A message that matches.
#[derive(Debug)]
pub struct Match {
    /// The current message.
    pub message: Message,
    /// An extract of the text around the match, in pieces.
    pub highlight: Vec<Piece>,
}

impl Reading {
    /// A part of the messages that match, the newest first. A hit comes without a message if the message was
    /// deleted, or if the user may not see it any more.
    pub async fn search(
        &self,
        me: UserId,
        query: &SearchQuery,
        scope: SearchScope,
        part: ListPart<Hit>,
    ) -> Result<Vec<(Hit, Option<Match>)>, ReadError> {
        self.charge_search(me)?;
        let conversation = match scope {
            SearchScope::All => None,
            SearchScope::One(id, min_position) => {
                self.open(me, id, min_position).await?;
                Some(id)
            }
        };
        let _place = self.searches.take(me).await?;
        let (pool, rules) = (self.views.pool(), self.commands.retention);
        let hits = views::search(pool, rules, me, conversation, query, part.after, part.limit).await?;
        let mut messages = self.seen(me, &hits).await?;
        let found = |hit: Hit| {
            let (_, conversation, position) = hit;
            let message = messages.remove(&(conversation, position));
            let highlighted = |message: Message| Match { highlight: query.highlight(&message.text), message };
            (hit, message.map(highlighted))
        };
        Ok(hits.into_iter().map(found).collect())
    }

    /// The messages of the hits that the log lets the user see.
    async fn seen(
        &self,
        me: UserId,
        hits: &[Hit],
    ) -> Result<BTreeMap<(ConversationId, Position), Message>, ReadError> {
        let ids: BTreeSet<ConversationId> = hits.iter().map(|(_, id, _)| *id).collect();
        let open = async |id| Ok::<_, ReadError>((id, unless_missing(self.reader(me, id, None).await)?));
        let readers: BTreeMap<ConversationId, Option<Reader>> =
            stream::iter(ids).map(open).buffered(AT_ONCE).try_collect().await?;
        let place = |(_, id, position): &Hit| readers.get(id).copied().flatten().zip(Some(*position));
        let places: Vec<(Reader, Position)> = hits.iter().filter_map(place).collect();
        let messages = views::messages_at(self.views.pool(), me, &places).await?;
        let there = messages.into_iter().filter(|(_, message)| message.deleted_at.is_none());
        Ok(there.map(|(id, message)| ((id, message.position), message)).collect())
    }
}
