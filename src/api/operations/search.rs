//! Finding what was said, in all conversations of mine.

use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use serde::Serialize;

use sqlx::PgPool;

use crate::{
    api::operations::tag::Tag,
    api::{
        Caller, Cursor, Limit, Page, Problem, Reply, SignedIn, http::examples, operations::message::Message,
    },
    domain::{ConversationId, Position},
    reading::Reading,
    views::{self, Hit, SearchError, SearchQuery},
};

/// A message that matches a search
#[derive(Serialize, Object)]
#[oai(example)]
struct FoundMessage {
    /// The conversation of the message
    conversation_id: ConversationId,
    /// The current message
    message: Message,
    /// Up to 200 characters of the text, from shortly before the first match. The parts are plain text as
    /// typed: escape each part, then mark the parts with `hit`
    highlight: Vec<HighlightPart>,
}

/// A part of a text
#[derive(Serialize, Object)]
struct HighlightPart {
    /// The text, as typed
    text: String,
    /// Whether this part matches the search
    hit: bool,
}

impl Example for FoundMessage {
    fn example() -> Self {
        let piece = |(text, hit): (&str, bool)| HighlightPart { text: text.into(), hit };
        Self {
            conversation_id: examples::conversation(),
            message: Message::example(),
            highlight: [("Is ", false), ("supper", true), (" at eight?", false)].map(piece).into(),
        }
    }
}

pub(in crate::api) struct Search {
    pub(in crate::api) pool: PgPool,
    pub(in crate::api) reading: Reading,
}

#[OpenApi(tag = "Tag::Messages")]
impl Search {
    /// Search messages
    ///
    /// Searches the current texts of all messages that the caller may read in the present conversations of the
    /// caller. The newest message comes first. A message matches if it has all words, whole, in upper or lower
    /// case. The query understands `"a phrase"`, `or` and `-without`. Words are compared as written, without
    /// stemming and stop words. In scripts without spaces (Han, kana, Thai, Lao, Khmer and similar ones) a run
    /// of characters is one phrase. A page may have fewer than `limit` messages although more follow. A query
    /// that takes too long is refused with `too_broad`.
    #[oai(path = "/messages", method = "get", operation_id = "search_messages")]
    async fn search(
        &self,
        caller: Caller,
        /// The query, with at least one word that is not excluded
        #[oai(validator(min_length = 1, max_length = 256))]
        query: Query<String>,
        /// Searches this conversation alone
        conversation_id: Query<Option<ConversationId>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Hit>>>,
        /// Waits up to 2 s until the answer includes this position of the conversation. It needs
        /// `conversation_id`
        min_position: Query<Option<Position>>,
    ) -> Result<Reply<Page<FoundMessage>>, SignedIn> {
        let wanted = read(&query.0)?;
        self.reading.charge_search(caller.user)?;
        if let Some(id) = conversation_id.0 {
            // A conversation that is not mine has nothing for me, like one that does not exist.
            if !self.reading.may_search(caller.user, id, min_position.0).await? {
                return Ok(Reply(Page::of(Vec::new(), None)));
            }
        } else if min_position.0.is_some() {
            let detail = "a position belongs to one conversation: send its conversation_id too";
            return Err(Problem::parameter("min_position", "contradictory", detail).into());
        }
        let _place = self.reading.search_place(caller.user).await?;
        let (pool, after) = (&self.pool, cursor.0.map(|end| end.0));
        let found =
            views::search(pool, caller.user, conversation_id.0, &wanted, after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| *last);
        let mut messages = self.reading.seen(caller.user, &page.items).await?;
        Ok(Reply(page.filter_map(|(_, conversation_id, position)| {
            let message = messages.remove(&(conversation_id, position))?;
            let piece = |piece: views::Piece| HighlightPart { text: piece.text, hit: piece.hit };
            let highlight = wanted.highlight(&message.text).into_iter().map(piece).collect();
            Some(FoundMessage { conversation_id, message: Message::of(conversation_id, message), highlight })
        })))
    }
}

fn read(query: &str) -> Result<SearchQuery, Problem> {
    let none = || Problem::parameter("query", "no_words", "give at least one word that has to be there");
    SearchQuery::parse(query).ok_or_else(none)
}

impl From<SearchError> for Problem {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::TooBroad => Self::parameter(
                "query",
                "too_broad",
                "this takes too long: give more or rarer words, or a conversation_id",
            ),
            SearchError::Database(outage) => outage.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_a_word() {
        let code = |query: &str| read(query).err().map(|problem| problem.errors[0].code.clone());
        assert_eq!(code("pizza"), None);
        assert_eq!(code("?!").as_deref(), Some("no_words"));
    }

    #[test]
    fn what_takes_too_long_is_refused_with_what_to_do() {
        let problem = Problem::from(SearchError::TooBroad);
        assert_eq!((problem.status.as_u16(), &*problem.errors[0].pointer), (400, "/query"));
        assert_eq!(problem.errors[0].code, "too_broad");
    }
}
