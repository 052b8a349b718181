//! Which endpoints have already handled everything up to a position.

use std::collections::BTreeMap;

use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::{ConversationId, Position, WebhookId};

/// Every endpoint, and whether it has taken or parked all events of these conversations, each in a stream and up to a
/// position.
pub(crate) async fn passed(
    pool: &PgPool,
    told: &[(usize, ConversationId, Position)],
) -> sqlx::Result<BTreeMap<WebhookId, bool>> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "select e.id,
                bool_and(coalesce(c.position >= told.position, false)
                         and not exists (select from hooks.held h
                                         where h.endpoint = e.id and h.run = $4 and h.conversation = told.conversation
                                               and h.from_position <= told.position))
         from (select id from hooks.endpoint order by id limit 500) e
         cross join unnest($1::integer[], $2::uuid[], $3::bigint[]) as told (stream, conversation, position)
         left join hooks.cursor c on c.endpoint = e.id and c.run = $4 and c.stream = told.stream
         group by e.id",
    )
    .bind(told.iter().map(|(stream, ..)| *stream as i32).collect::<Vec<_>>())
    .bind(told.iter().map(|(_, conversation, _)| conversation.uuid()).collect::<Vec<_>>())
    .bind(told.iter().map(|(.., position)| position.0.cast_signed()).collect::<Vec<_>>())
    .bind(Uuid::nil())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, passed)| (WebhookId::known(id), passed)).collect())
}
