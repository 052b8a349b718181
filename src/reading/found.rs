//! The messages that a search has found, as far as the log lets their reader see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    error::{ReadError, unless_missing},
    open::Reading,
};
use crate::{
    domain::{ConversationId, Position, UserId},
    shares::{NoPlace, Place, Sizes},
    views::{self, Hit, Reader},
};

/// How many conversations are opened at once for one request.
const AT_ONCE: usize = 4;

/// Searches of common words look at many messages, so one user gets few of them at once.
pub(crate) const SEARCHES: Sizes =
    Sizes { of_node: 16, of_one: 2, waiting_of_one: 14, waiting: 1_024, patience: Duration::from_secs(2) };

impl Reading {
    /// Waits for a place to search.
    pub(crate) async fn search_place(&self, me: UserId) -> Result<Place<UserId>, NoPlace> {
        self.searches.take(me).await
    }

    /// Whether the user may read a conversation, once the views have reached `min_position`.
    pub async fn may_search(
        &self,
        me: UserId,
        id: ConversationId,
        min_position: Option<Position>,
    ) -> Result<bool, ReadError> {
        Ok(unless_missing(self.open(me, id, min_position).await)?.is_some())
    }

    /// Those of the messages that the log lets me see, whatever the views have found.
    pub async fn seen(
        &self,
        me: UserId,
        hits: &[Hit],
    ) -> Result<BTreeMap<(ConversationId, Position), views::Message>, ReadError> {
        let ids: BTreeSet<ConversationId> = hits.iter().map(|(_, id, _)| *id).collect();
        let open = async |id| Ok::<_, ReadError>((id, unless_missing(self.reader(me, id, None).await)?));
        let readers: BTreeMap<ConversationId, Option<Reader>> =
            stream::iter(ids).map(open).buffered(AT_ONCE).try_collect().await?;
        let place = |(_, id, position): &Hit| readers.get(id).copied().flatten().zip(Some(*position));
        let places: Vec<(Reader, Position)> = hits.iter().filter_map(place).collect();
        let messages = views::messages_at(&self.pool, me, &places).await?;
        let there = messages.into_iter().filter(|(_, message)| message.deleted_at.is_none());
        Ok(there.map(|(id, message)| ((id, message.position), message)).collect())
    }
}
