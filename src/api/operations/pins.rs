//! The pinned messages of a conversation.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    api::{
        Caller, Cursor, Found, Include, Limit, MentionsUsers, Named, Page, Reached, Reply, Retried,
        http::examples,
        operations::{message::Message, tag::Tag},
    },
    commands::Commands,
    domain::{Act, ClientId, ConversationId, MessageId, Position, Time, UserId},
    reading::Reading,
};

/// A pinned message
#[derive(Serialize, Object)]
#[oai(example)]
struct Pin {
    /// The user who pinned the message
    pinned_by: UserId,
    /// When the message was pinned
    pinned_at: Time,
    /// The current message
    message: Message,
}

impl MentionsUsers for Pin {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.pinned_by);
        self.message.mention(found);
    }
}

impl Example for Pin {
    fn example() -> Self {
        Self { pinned_by: examples::ben(), pinned_at: examples::time(), message: Message::example() }
    }
}

pub(in crate::api) struct Pins {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Messages")]
impl Pins {
    /// Pin a message
    ///
    /// Pins a message. In a group the caller must be an admin or an owner; in a direct conversation both members can
    /// pin. A conversation has at most 100 pinned messages. Pinning a pinned message again changes nothing.
    #[oai(path = "/conversations/:id/messages/:message_id/pin", method = "put", operation_id = "pin_message")]
    async fn pin(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Retried> {
        let acted = self.commands.act(caller.user, id.0, message_id.0, Act::Pin, key.0).await?;
        Ok(Reached(acted.position))
    }

    /// Unpin a message
    ///
    /// Removes a pin. Requires the same role as pinning. If the message is not pinned, the request changes nothing.
    #[oai(
        path = "/conversations/:id/messages/:message_id/pin",
        method = "delete",
        operation_id = "unpin_message"
    )]
    async fn unpin(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        message_id: Path<MessageId>,
        /// The idempotency key: the same for every retry of the request
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<ClientId>>,
    ) -> Result<Reached, Retried> {
        let acted = self.commands.act(caller.user, id.0, message_id.0, Act::Unpin, key.0).await?;
        Ok(Reached(acted.position))
    }

    /// List pinned messages
    ///
    /// Lists the pinned messages of a conversation, latest pin first.
    #[oai(path = "/conversations/:id/pins", method = "get", operation_id = "list_pins")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Position>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        include: Query<Include>,
    ) -> Result<Reply<Named<Page<Pin>>>, Found> {
        let (id, part) = (id.0, limit.0.part(cursor.0));
        let found = self.reading.pins(caller.user, id, part, min_position.0).await?;
        let page = Page::cut(found, limit.0, |(last, _)| last.position);
        let page = page.filter_map(|(pin, message)| {
            let message = Message::of(id, message?);
            Some(Pin { pinned_by: pin.pinned_by, pinned_at: pin.pinned_at, message })
        });
        Ok(Reply(include.0.name(page, &self.reading).await?))
    }
}
