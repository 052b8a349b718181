//! The idempotency keys of what was done with messages, and of what is void: whoever tries again gets
//! the same answer as the first time, also if that came to nothing.

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use super::{Fact, Projection, bigint};
use crate::domain::Event;

pub(super) const PROJECTION: Projection = Projection {
    name: "keys",
    tables: &["key"],
    definition: include_str!("../../migrations/views/keys.sql"),
    indexes: &[],
    apply,
};

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let (mut conversations, mut users) = (Vec::new(), Vec::new());
        let (mut keys, mut positions) = (Vec::new(), Vec::new());
        for fact in facts {
            let acted = fact.event.as_ref().filter(|event| !matches!(event, Event::MessageSent(_)));
            let Some(key) = fact.void.as_ref().or(acted.and_then(Event::client_id)) else { continue };
            conversations.push(fact.conversation.uuid());
            users.push(fact.actor.uuid());
            keys.push(key.as_str());
            positions.push(bigint(fact.position));
        }
        if keys.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into key (conversation_id, user_id, client_id, position)
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) on conflict do nothing",
        )
        .bind(conversations)
        .bind(users)
        .bind(keys)
        .bind(positions)
        .execute(connection)
        .await?;
        Ok(())
    })
}
