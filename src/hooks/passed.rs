//! Which endpoints have taken the events of an erasure.

use std::collections::BTreeMap;

use sqlx::PgPool;
use uuid::Uuid;

use crate::domain::{ConversationId, Position, UserId, WebhookId};

/// The endpoints that get events of these conversations, and whether each has taken all of these `content.erased`, which
/// are in a stream, of a conversation and at a position. `actor` has caused these events.
///
/// A parked event was not taken, and an endpoint that does not select the event is never sent it. While a replay sends
/// the event again, the receiver has yet to take it.
pub(crate) async fn passed(
    pool: &PgPool,
    told: &[(usize, ConversationId, Position)],
    actor: UserId,
) -> sqlx::Result<BTreeMap<WebhookId, bool>> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "with told as (select stream, conversation, array_agg(position) as positions, max(position) as last
                       from unnest($1::integer[], $2::uuid[], $3::bigint[]) as told (stream, conversation, position)
                       group by stream, conversation)
         select e.id,
                bool_and(e.types && array['*', 'content.erased'] and (e.lanes = '{}' or 'control' = any(e.lanes))
                         and (e.services = '{}' or $5 = any(e.services))
                         and coalesce(c.position >= told.last, false)
                         and not exists (select from hooks.held h
                                         where h.endpoint = e.id and h.conversation = told.conversation
                                               and h.from_position <= told.last
                                               and (h.only_at = any(told.positions) or h.only_at = 0 and h.run = $4))
                         and not exists (select from hooks.delivery d
                                         where d.endpoint = e.id and d.state = 'parked'
                                               and d.conversation = told.conversation
                                               and d.position = any(told.positions)))
         from (select id, types, lanes, conversations, services from hooks.endpoint order by id limit 500) e
         join told on e.conversations = '{}' or told.conversation = any(e.conversations)
         left join hooks.cursor c on c.endpoint = e.id and c.run = $4 and c.stream = told.stream
         group by e.id",
    )
    .bind(told.iter().map(|(stream, ..)| *stream as i32).collect::<Vec<_>>())
    .bind(told.iter().map(|(_, conversation, _)| conversation.uuid()).collect::<Vec<_>>())
    .bind(told.iter().map(|(.., position)| position.0.cast_signed()).collect::<Vec<_>>())
    .bind(Uuid::nil())
    .bind(actor.uuid())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, passed)| (WebhookId::known(id), passed)).collect())
}
