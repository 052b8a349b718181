//! Requests for the erasure of expired content: the lock of the node that creates them, and the requests that
//! are pending.

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::domain::ConversationId;

/// The reason of these requests.
pub(crate) const RETENTION: &str = "retention";
/// The key of the advisory lock of the node that creates them.
const TURN: i64 = 0x5645_5242_4558_5049;

/// The pending requests for retention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RetentionUnderWay {
    /// The number of requests whose content the log may still have, and which no legal hold keeps.
    pub requests: i64,
    /// The conversations whose views may still show content that is to be erased.
    pub conversations: Vec<ConversationId>,
}

/// Takes the lock until the transaction ends; `None` if another node has it.
pub(crate) async fn take_turn(pool: &PgPool) -> sqlx::Result<Option<Transaction<'static, Postgres>>> {
    let mut transaction = pool.begin().await?;
    let is_mine = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(TURN)
        .fetch_one(&mut *transaction)
        .await?;
    if is_mine {
        return Ok(Some(transaction));
    }
    transaction.rollback().await?;
    Ok(None)
}

/// The pending requests for retention, read by the holder of the lock.
pub(crate) async fn under_way(turn: &mut Transaction<'static, Postgres>) -> sqlx::Result<RetentionUnderWay> {
    let (requests, conversations): (i64, Vec<Uuid>) = sqlx::query_as(
        "select (select count(*) from auth.erasure
                 where reason = $1 and done_at is null and log_done_at is null and held_by = '{}'),
                array(select distinct conversation_id
                      from auth.erasure e join auth.erasure_conversation c on c.erasure_id = e.id
                      where e.reason = $1 and e.done_at is null and e.views_done_at is null)",
    )
    .bind(RETENTION)
    .fetch_one(&mut **turn)
    .await?;
    let conversations = conversations.into_iter().map(ConversationId::known).collect();
    Ok(RetentionUnderWay { requests, conversations })
}
