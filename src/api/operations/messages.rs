//! Messages: sending, listing, editing, deleting.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Created, Cursor, FieldError, Found, Include, Limit, Listed, Named, Page, Problem,
        Reached, Reply, Retried, given,
        http::examples,
        operations::{message::Message, part::Wanted, tag::Tag},
    },
    commands::Commands,
    domain::{self, Act, AsOf, ClientId, ConversationId, MessageId, Metadata, Position, Text, Time},
    reading::{Direction, Reading, When},
};

/// The message to send
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewMessage {
    /// The idempotency key: the same for every retry of the request. A client that sends the header `Idempotency-Key`
    /// may leave it out
    #[serde(default, deserialize_with = "given")]
    client_id: Option<ClientId>,
    /// The text: at most 16 KiB of UTF-8, kept exactly as typed. A mention of a member is written `<@user id>`
    text: Text,
    /// The message of this conversation to which this message replies
    #[serde(default, deserialize_with = "given")]
    reply_to: Option<MessageId>,
    /// Metadata from a program: a JSON object of at most 4 KiB and 8 levels, without duplicate names. The server
    /// returns it exactly as sent, with every digit of its numbers
    #[serde(default, deserialize_with = "given")]
    metadata: Option<Metadata>,
}

impl Example for NewMessage {
    fn example() -> Self {
        Self { client_id: Some(examples::key()), text: examples::text(), reply_to: None, metadata: None }
    }
}

/// The new text of a message
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct MessageUpdate {
    /// The text: at most 16 KiB of UTF-8, kept exactly as typed
    text: Text,
}

impl Example for MessageUpdate {
    fn example() -> Self {
        Self { text: examples::text() }
    }
}

/// A message after an edit
#[derive(Serialize, Object)]
#[oai(example)]
struct EditedMessage {
    /// The id of the message
    id: MessageId,
    /// The conversation of the message
    conversation_id: ConversationId,
    /// The position of the edit, which this response has reached. Pass it as `min_position` to later reads
    position: Position,
    /// The text, as typed
    text: String,
    /// When the message was edited; absent if it had this text already
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Time>,
}

impl Example for EditedMessage {
    fn example() -> Self {
        Self {
            id: examples::message(),
            conversation_id: examples::conversation(),
            position: Position(examples::position().0 + 1),
            text: examples::TEXT.into(),
            edited_at: Some(examples::time()),
        }
    }
}

/// The current or an earlier text of a message
#[derive(Serialize, Object)]
#[oai(example)]
struct MessageVersion {
    /// The position of the message, or of the edit that gave it this text
    position: Position,
    /// The text, as typed
    text: String,
    /// When the message was sent or edited
    said_at: Time,
}

impl Example for MessageVersion {
    fn example() -> Self {
        Self { position: examples::position(), text: examples::TEXT.into(), said_at: examples::time() }
    }
}

pub(in crate::api) struct Messages {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Messages")]
impl Messages {
    /// Send a message
    ///
    /// Sends a message, and responds after the log has stored it. The request needs an idempotency key, as
    /// `client_id` or as the header. A retry with the same key gets the same response, even if the message has been
    /// edited or deleted since. The same key with another body is refused with `idempotency_mismatch`. A `reply_to` that
    /// names no message of the conversation, a deleted one, or one that the caller may not see gets 400 `bad_reference`.
    /// The response has the message as it was stored: `reply_to` is without the sender and the text of the quoted
    /// message, which `GET` of the new message returns.
    #[oai(path = "/conversations/:id/messages", method = "post", operation_id = "send_message")]
    async fn send(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// The idempotency key, if the body has no `client_id`
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<NewMessage>,
    ) -> Result<Created<Message>, Retried> {
        let (id, NewMessage { client_id, text, reply_to, metadata }) = (id.0, body.0);
        let client_id = one_key(key.0, client_id)?;
        let new = domain::NewMessage { client_id, text, reply_to, metadata };
        let sent = self.commands.send(caller.user, id, new).await?;
        let body = Message::sent(id, caller.user, sent);
        Ok(Created { location: format!("/v1/conversations/{id}/messages/{}", body.id), body })
    }

    /// List messages
    ///
    /// Lists the messages of a conversation. Without a parameter, or with `before`, the newest message comes first.
    /// With `after` the oldest comes first. With `around` the newest comes first, and half of the page lies at or
    /// before that position; if there are fewer, the other side fills the page. `cursor` continues in the direction of
    /// the previous page, and replaces these parameters; after `around` it continues towards older messages. With
    /// `as_of` the messages are as they were at that moment.
    #[oai(path = "/conversations/:id/messages", method = "get", operation_id = "list_messages")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn history(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        /// Lists messages before this position
        before: Query<Option<Position>>,
        /// Lists messages after this position, oldest first
        after: Query<Option<Position>>,
        /// Lists messages on both sides of this position
        around: Query<Option<Position>>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Direction>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
        include: Query<Include>,
    ) -> Result<Listed<Message>, Found> {
        let (id, limit) = (id.0, limit.0);
        let wanted = Wanted::by(before.0, after.0, around.0, cursor.0)?;
        let when = When { min_position: min_position.0, as_of: as_of.0 };
        let (found, standing) = self.reading.history(caller.user, id, wanted.asked(limit), when).await?;
        let page = wanted.page(found, limit);
        let page = page.standing(standing).map(|message| Message::of(id, message));
        Ok(Listed(include.0.name(page, &self.reading).await?))
    }

    /// Get a message
    ///
    /// Returns the current version of a message.
    #[oai(path = "/conversations/:id/messages/:message_id", method = "get", operation_id = "get_message")]
    async fn get(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Message>>, Found> {
        let found = self.reading.message(caller.user, id.0, message_id.0, min_position.0).await?;
        Ok(Reply(include.0.name(Message::of(id.0, found), &self.reading).await?))
    }

    /// Edit a message
    ///
    /// Replaces the text of a message of the caller. The same text again changes nothing. A deleted message cannot be
    /// edited (409 `message_deleted`).
    #[oai(path = "/conversations/:id/messages/:message_id", method = "patch", operation_id = "edit_message")]
    async fn edit(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
        body: Body<MessageUpdate>,
    ) -> Result<Reply<EditedMessage>, Retried> {
        let (id, message, text) = (id.0, message_id.0, body.0.text);
        let act = Act::Edit(text.clone());
        let edited = self.commands.act(caller.user, id, message, act, key.0).await?;
        Ok(Reply(EditedMessage {
            id: message,
            conversation_id: id,
            position: edited.position,
            text: text.into(),
            edited_at: edited.event.map(|(time, _)| time),
        }))
    }

    /// Delete a message
    ///
    /// Deletes a message for all members. The sender can delete it, and in a group admins and owners can, too. The
    /// message keeps its position in the list; its text, metadata, mentions, earlier versions, reactions and pin are
    /// gone. A read of an earlier time with `as_of` still shows them, until the message is erased.
    #[oai(
        path = "/conversations/:id/messages/:message_id",
        method = "delete",
        operation_id = "delete_message"
    )]
    async fn delete(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Retried> {
        let acted = self.commands.act(caller.user, id.0, message_id.0, Act::Delete, key.0).await?;
        Ok(Reached(acted.position))
    }

    /// List the versions of a message
    ///
    /// Lists the texts of a message, oldest first; the last one is current. A deleted message has no versions.
    #[oai(
        path = "/conversations/:id/messages/:message_id/versions",
        method = "get",
        operation_id = "list_message_versions"
    )]
    async fn versions(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Position>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
    ) -> Result<Reply<Page<MessageVersion>>, Found> {
        let (me, message, part) = (caller.user, message_id.0, limit.0.part(cursor.0));
        let found = self.reading.versions(me, id.0, message, part, min_position.0).await?;
        Ok(Reply(Page::cut(found, limit.0, |last| last.position).map(|version| MessageVersion {
            position: version.position,
            text: version.text,
            said_at: version.said_at,
        })))
    }
}

/// The idempotency key of a message, from the header or from the body.
fn one_key(header: Option<ClientId>, body: Option<ClientId>) -> Result<ClientId, Problem> {
    match (header, body) {
        (Some(header), Some(body)) if header != body => {
            let detail = "`client_id` and the header `Idempotency-Key` differ: send only one of them";
            Err(Problem::invalid("/client_id", "differs_from_header", detail))
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => {
            let detail = "The idempotency key is missing: send 8 to 64 characters of A-Z, a-z, 0-9, _ and -, and the same key for every retry.";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_required", detail);
            let missing =
                FieldError::new("/client_id", "missing", "send this field or the header `Idempotency-Key`");
            Err(Problem { errors: vec![missing], ..problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<ClientId> {
        ClientId::try_from(text.to_owned()).ok()
    }

    #[test]
    fn a_message_has_one_key_wherever_it_is_given() {
        for (header, body) in [("a-good-key", ""), ("", "a-good-key"), ("a-good-key", "a-good-key")] {
            assert_eq!(one_key(key(header), key(body)).ok(), key("a-good-key"));
        }
        let none = one_key(None, None).expect_err("refused");
        assert_eq!((none.status.as_u16(), none.code), (400, "idempotency_key_required"));
        let two = one_key(key("a-good-key"), key("another-key")).expect_err("refused");
        assert_eq!((two.status.as_u16(), &*two.errors[0].pointer), (400, "/client_id"));
    }
}
