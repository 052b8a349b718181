//! What was said, by page.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Fact, Projection, bigint, position};
use crate::domain::{ClientId, ConversationId, Event, MessageId, Position, Time, UserId};

pub(super) const PROJECTION: Projection = Projection {
    name: "messages",
    tables: &["message"],
    definition: include_str!("../../migrations/views/messages.sql"),
    apply,
};

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let (mut conversations, mut positions, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let (mut senders, mut keys, mut texts, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for fact in facts {
            let Some(Event::MessageSent(message)) = &fact.event else { continue };
            conversations.push(fact.conversation.uuid());
            positions.push(bigint(fact.position));
            ids.push(message.message_id.uuid());
            senders.push(fact.actor.uuid());
            keys.push(message.client_id.as_str());
            texts.push(message.text.as_str());
            times.push(fact.time.datetime());
        }
        if ids.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into message (conversation_id, position, id, sender, client_id, text, sent_at)
             select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                                  $7::timestamptz[])
             on conflict do nothing",
        )
        .bind(conversations)
        .bind(positions)
        .bind(ids)
        .bind(senders)
        .bind(keys)
        .bind(texts)
        .bind(times)
        .execute(connection)
        .await?;
        Ok(())
    })
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub position: Position,
    /// Who sent it.
    pub sender: UserId,
    /// The sender's idempotency key.
    pub client_id: String,
    /// As typed.
    pub text: String,
    /// When.
    pub sent_at: Time,
}

/// Which way a page goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Newest first, from before a position.
    Before(Position),
    /// Oldest first, from behind a position.
    After(Position),
}

impl Direction {
    /// The same way, from behind a message.
    pub fn behind(self, position: Position) -> Self {
        match self {
            Self::Before(_) => Self::Before(position),
            Self::After(_) => Self::After(position),
        }
    }
}

/// A message by its key: where, whose, which.
pub type Sending = (ConversationId, UserId, ClientId);

/// The messages that were sent with these keys.
pub async fn sent_before(pool: &PgPool, keys: &[&Sending]) -> sqlx::Result<HashMap<Sending, Message>> {
    let conversations: Vec<Uuid> = keys.iter().map(|key| key.0.uuid()).collect();
    let senders: Vec<Uuid> = keys.iter().map(|key| key.1.uuid()).collect();
    let texts: Vec<&str> = keys.iter().map(|key| key.2.as_str()).collect();
    let rows: Vec<(i64, Uuid, i64, Uuid, String, String, OffsetDateTime)> = sqlx::query_as(
        "select key.number, m.id, m.position, m.sender, m.client_id, m.text, m.sent_at
         from unnest($1::uuid[], $2::uuid[], $3::text[]) with ordinality
             as key (conversation_id, sender, client_id, number)
         join message m using (conversation_id, sender, client_id)",
    )
    .bind(conversations)
    .bind(senders)
    .bind(texts)
    .fetch_all(pool)
    .await?;
    let sent = |(number, id, at, sender, client_id, text, sent_at)| {
        let key = keys.get(usize::try_from(number).unwrap_or_default().wrapping_sub(1))?;
        Some(((*key).clone(), message((id, at, sender, client_id, text, sent_at))))
    };
    Ok(rows.into_iter().filter_map(sent).collect())
}

/// A page of the messages from `visible_from` on.
pub async fn history(
    pool: &PgPool,
    conversation: ConversationId,
    visible_from: Position,
    direction: Direction,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let (sql, bound) = match direction {
        Direction::Before(bound) => (
            "select id, position, sender, client_id, text, sent_at from message
             where conversation_id = $1 and position > $2 and position < $3 order by position desc limit $4",
            bound,
        ),
        Direction::After(bound) => (
            "select id, position, sender, client_id, text, sent_at from message
             where conversation_id = $1 and position > $2 and position > $3 order by position limit $4",
            bound,
        ),
    };
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(conversation.uuid())
        .bind(bigint(visible_from))
        .bind(bigint(bound))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(message).collect())
}

/// The messages about a position, newest first: up to `older` at or before it, up to `newer` behind
/// it; none from before `visible_from`.
pub async fn around(
    pool: &PgPool,
    conversation: ConversationId,
    visible_from: Position,
    at: Position,
    older: i64,
    newer: i64,
) -> sqlx::Result<Vec<Message>> {
    let rows: Vec<Row> = sqlx::query_as(
        "(select id, position, sender, client_id, text, sent_at from message
          where conversation_id = $1 and position > $2 and position <= $3 order by position desc limit $4)
         union all
         (select id, position, sender, client_id, text, sent_at from message
          where conversation_id = $1 and position > $2 and position > $3 order by position limit $5)
         order by position desc",
    )
    .bind(conversation.uuid())
    .bind(bigint(visible_from))
    .bind(bigint(at))
    .bind(older)
    .bind(newer)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(message).collect())
}

type Row = (Uuid, i64, Uuid, String, String, OffsetDateTime);

fn message((id, at, sender, client_id, text, sent_at): Row) -> Message {
    Message {
        id: MessageId::known(id),
        position: position(at),
        sender: UserId::known(sender),
        client_id,
        text,
        sent_at: Time::of(sent_at),
    }
}
