//! Reading messages, as one member may see them: the one place where rows become messages. A page is
//! one query, whatever the messages carry.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow, PgPool, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{bigint, position};
use crate::domain::{ConversationId, MessageId, Metadata, Position, Time, UserId};

/// The most characters of a message that is quoted.
pub const QUOTE: usize = 200;

/// Who reads in which conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Only what comes after this position is there for them.
    pub visible_from: Position,
}

/// A message as a member sees it now.
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
    /// As typed; empty once it is deleted.
    pub text: String,
    /// When.
    pub sent_at: Time,
    /// When it was last edited.
    pub edited_at: Option<Time>,
    /// When it was deleted.
    pub deleted_at: Option<Time>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
    /// The message that it answers.
    pub reply_to: Option<Quote>,
    /// What programs added.
    pub metadata: Option<Metadata>,
    /// The members whom it mentions, by id.
    pub mentions: Vec<UserId>,
    /// Its reactions, the first one first.
    pub reactions: Vec<ReactionCount>,
    /// Whether it is pinned.
    pub pinned: bool,
}

/// The message that another one answers. Of one that the reader may not see, or that is not known
/// yet, there is only its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub position: Position,
    /// Who sent it.
    pub sender: Option<UserId>,
    /// How its text begins, up to 200 characters.
    pub text: Option<String>,
    /// Whether it is gone.
    pub deleted: bool,
}

/// How often a message has a reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    /// Which reaction.
    pub emoji: String,
    /// From how many members.
    pub count: i64,
    /// Whether the reader is among them.
    pub mine: bool,
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

/// Messages `m` as the reader `$2` of the conversation `$1` sees them from behind `$3`; more
/// conditions, an order and a limit may follow.
const SELECT: &str = "
    select m.id, m.position, m.sender, m.client_id, m.text, m.sent_at, m.edited_at, m.deleted_at,
           m.deleted_by, m.metadata, m.reply_to, m.reply_to_at, quoted.sender as quoted_sender,
           left(quoted.text, $4) as quoted_text, quoted.deleted_at is not null as quoted_deleted,
           (select array_agg(x.user_id order by x.user_id) from mention x
            where x.conversation_id = m.conversation_id and x.message = m.position) as mentions,
           (select jsonb_agg(jsonb_build_object('emoji', emoji, 'count', count, 'mine', mine) order by first)
            from (select emoji, count(*) as count, bool_or(user_id = $2) as mine, min(position) as first
                  from reaction r
                  where r.conversation_id = m.conversation_id and r.message = m.position
                  group by emoji) counted) as reactions,
           exists (select from pin p
                   where p.conversation_id = m.conversation_id and p.message = m.position) as pinned
    from message m
    left join message quoted
        on quoted.conversation_id = m.conversation_id and quoted.position = m.reply_to_at
           and quoted.position > $3
    where m.conversation_id = $1 and m.position > $3";

#[derive(FromRow)]
struct Row {
    id: Uuid,
    position: i64,
    sender: Uuid,
    client_id: String,
    text: String,
    sent_at: OffsetDateTime,
    edited_at: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
    deleted_by: Option<Uuid>,
    metadata: Option<Json<Metadata>>,
    reply_to: Option<Uuid>,
    reply_to_at: Option<i64>,
    quoted_sender: Option<Uuid>,
    quoted_text: Option<String>,
    quoted_deleted: bool,
    mentions: Option<Vec<Uuid>>,
    reactions: Option<Json<Vec<ReactionCount>>>,
    pinned: bool,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        let quote = |(id, at)| Quote {
            id: MessageId::known(id),
            position: position(at),
            sender: row.quoted_sender.map(UserId::known),
            text: row.quoted_text,
            deleted: row.quoted_deleted,
        };
        Self {
            id: MessageId::known(row.id),
            position: position(row.position),
            sender: UserId::known(row.sender),
            client_id: row.client_id,
            text: row.text,
            sent_at: Time::of(row.sent_at),
            edited_at: row.edited_at.map(Time::of),
            deleted_at: row.deleted_at.map(Time::of),
            deleted_by: row.deleted_by.map(UserId::known),
            reply_to: row.reply_to.zip(row.reply_to_at).map(quote),
            metadata: row.metadata.map(|Json(metadata)| metadata),
            mentions: row.mentions.unwrap_or_default().into_iter().map(UserId::known).collect(),
            reactions: row.reactions.map(|Json(reactions)| reactions).unwrap_or_default(),
            pinned: row.pinned,
        }
    }
}

/// A page of messages.
pub async fn history(
    pool: &PgPool,
    reader: Reader,
    direction: Direction,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let (rest, bound) = match direction {
        Direction::Before(bound) => ("and m.position < $5 order by m.position desc limit $6", bound),
        Direction::After(bound) => ("and m.position > $5 order by m.position limit $6", bound),
    };
    let sql = format!("{SELECT} {rest}");
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.conversation.uuid())
        .bind(reader.user.uuid())
        .bind(bigint(reader.visible_from))
        .bind(QUOTE as i32)
        .bind(bigint(bound))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The messages about a position, newest first: up to `older` at or before it, up to `newer` behind
/// it.
pub async fn around(
    pool: &PgPool,
    reader: Reader,
    at: Position,
    older: i64,
    newer: i64,
) -> sqlx::Result<Vec<Message>> {
    let sql = format!(
        "({SELECT} and m.position <= $5 order by m.position desc limit $6)
         union all
         ({SELECT} and m.position > $5 order by m.position limit $7)
         order by position desc"
    );
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.conversation.uuid())
        .bind(reader.user.uuid())
        .bind(bigint(reader.visible_from))
        .bind(QUOTE as i32)
        .bind(bigint(at))
        .bind(older)
        .bind(newer)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// One message.
pub async fn message(pool: &PgPool, reader: Reader, id: MessageId) -> sqlx::Result<Option<Message>> {
    let row: Option<Row> = sqlx::query_as(AssertSqlSafe(format!("{SELECT} and m.id = $5")))
        .bind(reader.conversation.uuid())
        .bind(reader.user.uuid())
        .bind(bigint(reader.visible_from))
        .bind(QUOTE as i32)
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Message::from))
}

/// The messages at these positions, in no order.
pub async fn messages_at(
    pool: &PgPool,
    reader: Reader,
    positions: &[Position],
) -> sqlx::Result<Vec<Message>> {
    let positions: Vec<i64> = positions.iter().copied().map(bigint).collect();
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!("{SELECT} and m.position = any($5)")))
        .bind(reader.conversation.uuid())
        .bind(reader.user.uuid())
        .bind(bigint(reader.visible_from))
        .bind(QUOTE as i32)
        .bind(positions)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// A text that a message had or has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Where it was said: the message's own position, then those of its edits.
    pub position: Position,
    /// As typed.
    pub text: String,
    /// When.
    pub said_at: Time,
}

/// The texts of a message, the first one first, from behind a position. Of a deleted one there is none.
pub async fn versions(
    pool: &PgPool,
    conversation: ConversationId,
    message: Position,
    after: Position,
    limit: i64,
) -> sqlx::Result<Vec<Version>> {
    let rows: Vec<(i64, String, OffsetDateTime)> = sqlx::query_as(
        "select position, text, said_at from (
             select position, text, said_at from message_version where conversation_id = $1 and message = $2
             union all
             select position, text, sent_at from message
             where conversation_id = $1 and position = $2 and edited is null and deleted_at is null
         ) said
         where position > $3 order by position limit $4",
    )
    .bind(conversation.uuid())
    .bind(bigint(message))
    .bind(bigint(after))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let version = |(at, text, said_at)| Version { position: position(at), text, said_at: Time::of(said_at) };
    Ok(rows.into_iter().map(version).collect())
}
