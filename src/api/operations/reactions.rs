//! The reactions to a message.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    api::{
        Caller, Cursor, Found, Include, Limit, Listed, MentionsUsers, Page, Problem, Reached, Retried,
        http::examples, operations::tag::Tag,
    },
    commands::Commands,
    domain::{Act, AsOf, ClientId, ConversationId, Emoji, MessageId, Position, Time, UserId},
    reading::{Reading, When},
};

/// A reaction of a user to a message
#[derive(Serialize, Object)]
#[oai(example)]
struct Reaction {
    /// The user
    user_id: UserId,
    /// The emoji
    emoji: String,
    /// When the user reacted
    reacted_at: Time,
}

impl MentionsUsers for Reaction {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.user_id);
    }
}

impl Example for Reaction {
    fn example() -> Self {
        Self { user_id: examples::ben(), emoji: examples::EMOJI.into(), reacted_at: examples::time() }
    }
}

pub(in crate::api) struct Reactions {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Messages")]
impl Reactions {
    /// React to a message
    ///
    /// Adds a reaction of the caller. The path holds one emoji or one visible character, of at most 64 bytes of UTF-8,
    /// percent-encoded. A member can add at most 20 different reactions to a message. Adding the same reaction again
    /// changes nothing.
    /// The server stores an emoji fully qualified, as Unicode lists it: with or without U+FE0F it is the same
    /// reaction.
    #[oai(
        path = "/conversations/:id/messages/:message_id/reactions/:emoji",
        method = "put",
        operation_id = "add_reaction"
    )]
    async fn add(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The emoji, percent-encoded
        emoji: Path<String>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Retried> {
        let act = Act::React(one_emoji(emoji.0)?);
        let acted = self.commands.act(caller.user, id.0, message_id.0, act, key.0).await?;
        Ok(Reached(acted.position))
    }

    /// Remove a reaction
    ///
    /// Removes a reaction of the caller. If the caller has no such reaction, the request changes nothing.
    #[oai(
        path = "/conversations/:id/messages/:message_id/reactions/:emoji",
        method = "delete",
        operation_id = "remove_reaction"
    )]
    async fn remove(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The emoji, percent-encoded
        emoji: Path<String>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Retried> {
        let act = Act::Unreact(one_emoji(emoji.0)?);
        let acted = self.commands.act(caller.user, id.0, message_id.0, act, key.0).await?;
        Ok(Reached(acted.position))
    }

    /// List the reactions to a message
    ///
    /// Lists the reactions with their users, oldest first, now or at an earlier moment (`as_of`).
    #[oai(
        path = "/conversations/:id/messages/:message_id/reactions",
        method = "get",
        operation_id = "list_reactions"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Position>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
        include: Query<Include>,
    ) -> Result<Listed<Reaction>, Found> {
        let when = When { min_position: min_position.0, as_of: as_of.0 };
        let (me, message, part) = (caller.user, message_id.0, limit.0.part(cursor.0));
        let (found, standing) = self.reading.reactions(me, id.0, message, part, when).await?;
        let page = Page::cut(found, limit.0, |last| last.position).standing(standing).map(|reaction| {
            Reaction { user_id: reaction.user, emoji: reaction.emoji, reacted_at: reaction.reacted_at }
        });
        Ok(Listed(include.0.name(page, &self.reading).await?))
    }
}

fn one_emoji(text: String) -> Result<Emoji, Problem> {
    Emoji::try_from(text).map_err(|wrong| Problem::parameter("emoji", "invalid", wrong.to_string()))
}
