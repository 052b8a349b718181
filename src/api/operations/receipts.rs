//! Who has read how far.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Below, Body, Caller, Cursor, Found, Limit, Listed, Page, Problem, Reached, Standing, Tag, given,
        http::examples,
    },
    domain::{AsOf, ConversationId, Position, Time, UserId},
    views,
};

/// How far I have got; at least one of both
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct ReceiptUpdate {
    /// I have read everything up to this position
    #[serde(default, deserialize_with = "given")]
    read: Option<Position>,
    /// A device of mine has everything up to this position
    #[serde(default, deserialize_with = "given")]
    delivered: Option<Position>,
}

impl Example for ReceiptUpdate {
    fn example() -> Self {
        Self { read: Some(examples::position()), delivered: None }
    }
}

/// How far a member has got
#[derive(Serialize, Object)]
#[oai(example)]
struct Receipt {
    /// Who
    user_id: UserId,
    /// Everything up to here has reached a device
    delivered: Position,
    /// Everything up to here has been read
    read: Position,
    /// When the read position was last raised; absent before the first time
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<Time>,
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

pub(in crate::api) struct Receipts(pub(in crate::api) Below);

#[OpenApi(tag = "Tag::Receipts")]
impl Receipts {
    /// Tell how far I have read
    ///
    /// Positions only rise: going back changes nothing. What is read has also been delivered. Receipts
    /// that come fast are told to the others at most once a second.
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
        Ok(Reached(self.0.commands.advance(caller.user, id, delivered, read).await?))
    }

    /// List who has read how far
    ///
    /// All members of a conversation of mine, by user id; who has never told is at 0. Now, or as it
    /// was: with `as_of` this tells who had read how far at five past two.
    #[oai(path = "/conversations/:id/receipts", method = "get", operation_id = "list_receipts")]
    async fn list(
        &self,
        caller: Caller,
        id: Path<ConversationId>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<UserId>>>,
        /// Wait up to 2 s until the views have reached this position
        min_position: Query<Option<Position>>,
        as_of: Query<Option<AsOf>>,
    ) -> Result<Listed<Receipt>, Found> {
        let (id, limit, after) = (id.0, limit.0, cursor.0.map(|end| end.0));
        let tracked = self.0.open(caller.user, id, min_position.0).await?;
        let read = || async {
            let (receipts, moment) = views::receipts(&self.0.pool, id, after, limit.and_one()).await?;
            let standing = self.0.standing(caller.user, Some(id), &moment);
            Ok((after.is_some() || !receipts.is_empty()).then_some((receipts, standing)))
        };
        let (receipts, standing) = match as_of.0 {
            None => self.0.once_known(id, &tracked, read).await?,
            Some(as_of) => {
                let visible_from = tracked.conversation().visible_from(caller.user);
                let past = self.0.past(id, visible_from, as_of).await?;
                let standing = Standing { position: Some(past.position()), cursor: None };
                (past.receipts(after, limit.and_one()), standing)
            }
        };
        Ok(Listed(Page::cut(receipts, limit, |last| last.user).standing(standing).map(|receipt| Receipt {
            user_id: receipt.user,
            delivered: receipt.delivered,
            read: receipt.read,
            read_at: receipt.read_at,
        })))
    }
}
