//! Which endpoints have already handled everything up to a position.

use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::{ConversationId, Position, WebhookId};

/// Every endpoint, and whether it has taken or parked all events of a conversation up to a position.
pub(crate) async fn passed(
    pool: &PgPool,
    stream: usize,
    conversation: ConversationId,
    position: Position,
) -> sqlx::Result<Vec<(WebhookId, bool)>> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "select e.id,
                coalesce(c.position >= $3, false)
                and not exists (select from hooks.held h
                                where h.endpoint = e.id and h.run = $4 and h.conversation = $2 and h.from_position <= $3)
         from hooks.endpoint e
         left join hooks.cursor c on c.endpoint = e.id and c.run = $4 and c.stream = $1
         order by e.id limit 500",
    )
    .bind(stream as i32)
    .bind(conversation.uuid())
    .bind(position.0.cast_signed())
    .bind(Uuid::nil())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, passed)| (WebhookId::known(id), passed)).collect())
}
