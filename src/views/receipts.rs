//! The watermarks of members: delivered and read.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Event, Position, ReceiptAdvanced, Time, UserId},
    views::{
        Fact, Moment, Projection, bigint,
        moment::{self, with_moment},
        position,
    },
};

pub(super) const PROJECTION: Projection = Projection {
    name: "receipts",
    tables: &["receipt"],
    definition: include_str!("../../migrations/views/receipts.sql"),
    indexes: &[],
    apply,
};

/// A watermark and the time of the event that raised it.
type Mark = (Position, Option<Time>);

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        // A statement may touch a row once, so the batch is folded first.
        let mut marks: BTreeMap<(ConversationId, UserId), (Mark, Mark)> = BTreeMap::new();
        for fact in facts {
            let Some(Event::ReceiptAdvanced(receipt)) = fact.event() else { continue };
            let (delivered, read) =
                marks.entry((fact.recorded.conversation, fact.recorded.actor)).or_default();
            raise(delivered, receipt.delivered, fact.recorded.time);
            raise(read, receipt.read, fact.recorded.time);
        }
        if marks.is_empty() {
            return Ok(());
        }
        let (mut conversations, mut users) = (Vec::new(), Vec::new());
        let (mut delivered, mut delivered_at) = (Vec::new(), Vec::new());
        let (mut read, mut read_at) = (Vec::new(), Vec::new());
        for ((conversation, user), (d, r)) in marks {
            conversations.push(conversation.uuid());
            users.push(user.uuid());
            delivered.push(bigint(d.0));
            delivered_at.push(d.1.map(Time::datetime));
            read.push(bigint(r.0));
            read_at.push(r.1.map(Time::datetime));
        }
        sqlx::query(
            "insert into receipt as old (conversation_id, user_id, delivered, delivered_at, read, read_at)
             select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::bigint[],
                                  $6::timestamptz[])
             on conflict (conversation_id, user_id) do update set
                 delivered = greatest(old.delivered, excluded.delivered),
                 delivered_at = case when excluded.delivered > old.delivered
                                     then excluded.delivered_at else old.delivered_at end,
                 read = greatest(old.read, excluded.read),
                 read_at = case when excluded.read > old.read then excluded.read_at else old.read_at end",
        )
        .bind(conversations)
        .bind(users)
        .bind(delivered)
        .bind(delivered_at)
        .bind(read)
        .bind(read_at)
        .execute(connection)
        .await?;
        Ok(())
    })
}

fn raise(mark: &mut Mark, to: Position, at: Time) {
    if to > mark.0 {
        *mark = (to, Some(at));
    }
}

/// The watermarks of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The member with these watermarks.
    pub user: UserId,
    /// All messages up to this position have reached a device.
    pub delivered: Position,
    /// All messages up to this position have been read.
    pub read: Position,
    /// When the read position was last raised.
    pub read_at: Option<Time>,
}

/// The watermarks of each current member; 0 for a member without a receipt.
pub(crate) async fn receipts(
    pool: &PgPool,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: i64,
) -> sqlx::Result<(Vec<Receipt>, Moment)> {
    let rows = sqlx::query(with_moment(
        "select m.user_id, coalesce(r.delivered, 0), coalesce(r.read, 0), r.read_at
         from member m
         left join receipt r on r.conversation_id = m.conversation_id and r.user_id = m.user_id
         where m.conversation_id = $1 and ($2::uuid is null or m.user_id > $2) order by m.user_id limit $3",
    ))
    .bind(conversation.uuid())
    .bind(after.map(UserId::uuid))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let (rows, moment) = moment::read::<(Uuid, i64, i64, Option<OffsetDateTime>)>(&rows)?;
    let receipt = |(user, delivered, read, read_at): (Uuid, i64, i64, Option<OffsetDateTime>)| Receipt {
        user: UserId::known(user),
        delivered: position(delivered),
        read: position(read),
        read_at: read_at.map(Time::of),
    };
    Ok((rows.into_iter().map(receipt).collect(), moment))
}

/// One member's watermarks.
pub(crate) async fn watermarks(
    pool: &PgPool,
    conversation: ConversationId,
    user: UserId,
) -> sqlx::Result<ReceiptAdvanced> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("select delivered, read from receipt where conversation_id = $1 and user_id = $2")
            .bind(conversation.uuid())
            .bind(user.uuid())
            .fetch_optional(pool)
            .await?;
    let (delivered, read) = row.unwrap_or_default();
    Ok(ReceiptAdvanced { delivered: position(delivered), read: position(read) })
}
