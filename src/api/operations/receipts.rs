//! The receipts of a conversation.

use std::sync::Arc;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Cursor, Found, Include, Limit, Listed, MentionsUsers, Page, Problem, Reached, given,
        http::examples, operations::tag::Tag,
    },
    commands::Commands,
    domain::{AsOf, ConversationId, Position, Time, UserId},
    reading::{self, Reading, When},
};

/// How far the caller has received and read a conversation. At least one of the two fields is required
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ReceiptUpdate {
    /// The position up to which the caller has read
    #[serde(default, deserialize_with = "given")]
    read: Option<Position>,
    /// The position up to which a device of the caller has received everything
    #[serde(default, deserialize_with = "given")]
    delivered: Option<Position>,
}

impl Example for ReceiptUpdate {
    fn example() -> Self {
        Self { read: Some(examples::position()), delivered: None }
    }
}

/// How far a member has received and read a conversation
#[derive(Serialize, Object)]
#[oai(example)]
struct Receipt {
    /// The member
    user_id: UserId,
    /// The position up to which a device of the member has received everything
    delivered: Position,
    /// The position up to which the member has read
    read: Position,
    /// When `read` last advanced; absent if it never has
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<Time>,
}

impl From<reading::Receipt> for Receipt {
    fn from(reading::Receipt { user, delivered, read, read_at }: reading::Receipt) -> Self {
        Self { user_id: user, delivered, read, read_at }
    }
}

impl MentionsUsers for Receipt {
    fn mention(&self, found: &mut Vec<UserId>) {
        found.push(self.user_id);
    }
}

impl Example for Receipt {
    fn example() -> Self {
        let read_at = Some(examples::time());
        Self {
            user_id: examples::ben(),
            delivered: examples::position(),
            read: examples::position(),
            read_at,
        }
    }
}

pub(in crate::api) struct Receipts {
    pub(in crate::api) commands: Arc<Commands>,
    pub(in crate::api) reading: Arc<Reading>,
}

#[OpenApi(tag = "Tag::Receipts")]
impl Receipts {
    /// Mark as read or delivered
    ///
    /// Records how far the caller has received and read a conversation. Positions only advance: a lower position
    /// changes nothing. A message that is read counts as delivered, too. Other members receive the receipts of one
    /// user at most once a second.
    #[oai(path = "/conversations/:id/receipt", method = "put", operation_id = "advance_receipt")]
    async fn advance(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        body: Body<ReceiptUpdate>,
    ) -> Result<Reached, Found> {
        let (id, ReceiptUpdate { read, delivered }) = (id.0, body.0);
        if read.or(delivered).is_none() {
            return Err(Problem::invalid("", "missing", "give read, delivered or both").into());
        }
        Ok(Reached(self.commands.advance(caller.user, id, delivered, read).await?))
    }

    /// List receipts
    ///
    /// Lists how far each member of a conversation of the caller has read, in the order of their user ids, now or at
    /// an earlier moment (`as_of`). A member without a receipt is at position 0.
    #[oai(path = "/conversations/:id/receipts", method = "get", operation_id = "list_receipts")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Waits up to 2 s until the response includes this position. If it does not, the response is 503 `not_yet`
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
        include: Query<Include>,
    ) -> Result<Listed<Receipt>, Found> {
        let when = When { min_position: min_position.0, as_of: as_of.0 };
        let (receipts, standing) =
            self.reading.receipts(caller.user, id.0, limit.0.part(cursor.0), when).await?;
        let page = Page::cut(receipts, limit.0, |last| last.user).standing(standing).map(Receipt::from);
        Ok(Listed(include.0.name(page, &self.reading).await?))
    }
}
