//! Searching the messages of all conversations of the caller.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use serde::Serialize;

use crate::{
    api::{
        Caller, Cursor, Found, Include, Limit, MentionsUsers, Named, Page, Problem, Reply,
        http::examples,
        operations::{message::Message, tag::Tag},
    },
    domain::{ConversationId, Position, UserId},
    reading::{Hit, Piece, Reading, SearchQuery, SearchScope},
};

/// A message that matches a search
#[derive(Serialize, Object)]
#[oai(example)]
struct FoundMessage {
    /// The conversation of the message
    conversation_id: ConversationId,
    /// The current message
    message: Message,
    /// Up to 200 characters of the text, starting shortly before the first match. The parts are plain text as typed:
    /// escape each part, then mark those with `hit`
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

impl MentionsUsers for FoundMessage {
    fn mention(&self, found: &mut Vec<UserId>) {
        self.message.mention(found);
    }
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
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Messages")]
impl Search {
    /// Search messages
    ///
    /// Searches the current texts of all messages that the caller may read in the caller's current conversations,
    /// newest first. A message matches if it contains all words, as whole words, in upper or lower case. The query
    /// understands `"a phrase"`, `or` and `-without`. Words are compared as written, without stemming or stop words.
    /// In scripts without spaces (Han, kana, Thai, Lao, Khmer and similar ones) a run of characters is one phrase. A
    /// page may have fewer than `limit` messages although more follow. A query that takes too long is refused with
    /// `invalid_parameter`, and `too_broad` in `errors`.
    #[oai(path = "/messages", method = "get", operation_id = "search_messages")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn search(
        &self,
        caller: Caller,
        /// The query, with at least one word that is not excluded
        #[oai(validator(min_length = 1, max_length = 256))]
        query: Query<String>,
        /// Searches only this conversation
        conversation_id: Query<Option<ConversationId>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Hit>>>,
        /// Waits up to 2 s until the response includes this position of the conversation. Requires `conversation_id`
        min_position: Query<Option<Position>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Page<FoundMessage>>>, Found> {
        let (query, scope) = (read(&query.0)?, scope(conversation_id.0, min_position.0)?);
        let found = self.reading.search(caller.user, &query, scope, limit.0.part(cursor.0)).await?;
        let page = Page::cut(found, limit.0, |(hit, _)| *hit);
        let page = page.filter_map(|((_, conversation_id, _), matched)| {
            let matched = matched?;
            let message = Message::of(conversation_id, matched.message);
            let part = |piece: Piece| HighlightPart { text: piece.text, hit: piece.hit };
            let highlight = matched.highlight.into_iter().map(part).collect();
            Some(FoundMessage { conversation_id, message, highlight })
        });
        Ok(Reply(include.0.name(page, &self.reading).await?))
    }
}

fn read(query: &str) -> Result<SearchQuery, Problem> {
    let none = || Problem::parameter("query", "no_words", "must have at least one word that is not excluded");
    SearchQuery::parse(query).ok_or_else(none)
}

fn scope(id: Option<ConversationId>, min_position: Option<Position>) -> Result<SearchScope, Problem> {
    match (id, min_position) {
        (Some(id), min_position) => Ok(SearchScope::One(id, min_position)),
        (None, None) => Ok(SearchScope::All),
        (None, Some(_)) => {
            let detail = "a position belongs to one conversation: send conversation_id, too";
            Err(Problem::parameter("min_position", "contradictory", detail))
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
    fn a_position_needs_its_conversation() {
        let (id, at) = (examples::conversation(), Position(7));
        assert_eq!(scope(None, None).ok(), Some(SearchScope::All));
        assert_eq!(scope(Some(id), Some(at)).ok(), Some(SearchScope::One(id, Some(at))));
        let problem = scope(None, Some(at)).expect_err("refused");
        assert_eq!(
            (&*problem.errors[0].pointer, &*problem.errors[0].code),
            ("/min_position", "contradictory")
        );
    }
}
