//! Reading messages, as one member may see them: the one place where rows become messages. A page is
//! one query, whatever the messages carry, and costs little more than its rows if they carry nothing.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool, types::Json};
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

/// What the reader `$1` sees of messages `m` of conversations that are there for them from behind
/// `visible_from`. What few messages have is looked up only for those that have it: look-ups for all made
/// a page three times as dear for Postgres.
fn select(from: &str) -> String {
    format!(
        "select m.conversation_id, m.id, m.position, m.sender, m.client_id, m.text, m.sent_at, m.edited_at,
                m.deleted_at, m.deleted_by, m.metadata, m.reply_to, m.reply_to_at,
                case when m.reply_to_at > visible_from then (
                    select jsonb_build_object('sender', sender, 'text', left(text, {QUOTE}),
                                              'deleted', deleted_at is not null)
                    from message where conversation_id = m.conversation_id and position = m.reply_to_at
                ) end,
                case when m.marked then jsonb_build_object(
                    'mentions', (
                        select jsonb_agg(user_id order by user_id) from mention
                        where conversation_id = m.conversation_id and message = m.position),
                    'reactions', (
                        select jsonb_agg(jsonb_build_object('emoji', emoji, 'count', count, 'mine', mine)
                                         order by first)
                        from (select emoji, count(*) as count, bool_or(user_id = $1) as mine,
                                     min(position) as first
                              from reaction
                              where conversation_id = m.conversation_id and message = m.position
                              group by emoji) counted),
                    'pinned', exists (
                        select from pin where conversation_id = m.conversation_id and message = m.position)
                ) end
         from {from}"
    )
}

/// Messages of the conversation `$2`, which is there for the reader from behind `$3`.
const ONE_CONVERSATION: &str = "(select $3::bigint as visible_from) reader
     join message m on m.conversation_id = $2 and m.position > visible_from";

type Row = (
    Uuid,
    Uuid,
    i64,
    Uuid,
    String,
    String,
    OffsetDateTime,
    Option<OffsetDateTime>,
    Option<OffsetDateTime>,
    Option<Uuid>,
    Option<Json<Metadata>>,
    Option<Uuid>,
    Option<i64>,
    Option<Json<Quoted>>,
    Option<Json<Marks>>,
);

#[derive(Deserialize)]
struct Quoted {
    sender: Uuid,
    text: String,
    deleted: bool,
}

#[derive(Deserialize, Default)]
struct Marks {
    mentions: Option<Vec<Uuid>>,
    reactions: Option<Vec<ReactionCount>>,
    pinned: bool,
}

/// A row by its columns' order, for their names would be looked up in each.
fn read(row: Row) -> (ConversationId, Message) {
    let (conversation, id, at, sender, client_id, text, sent_at, edited_at, deleted_at, deleted_by, ..) = row;
    let (.., metadata, reply_to, reply_to_at, quoted, marks) = row;
    let quoted = quoted.map(|Json(quoted)| quoted);
    let Marks { mentions, reactions, pinned } = marks.map(|Json(marks)| marks).unwrap_or_default();
    let message = Message {
        id: MessageId::known(id),
        position: position(at),
        sender: UserId::known(sender),
        client_id,
        text,
        sent_at: Time::of(sent_at),
        edited_at: edited_at.map(Time::of),
        deleted_at: deleted_at.map(Time::of),
        deleted_by: deleted_by.map(UserId::known),
        reply_to: reply_to.zip(reply_to_at).map(|(id, at)| Quote {
            id: MessageId::known(id),
            position: position(at),
            sender: quoted.as_ref().map(|quoted| UserId::known(quoted.sender)),
            deleted: quoted.as_ref().is_some_and(|quoted| quoted.deleted),
            text: quoted.map(|quoted| quoted.text),
        }),
        metadata: metadata.map(|Json(metadata)| metadata),
        mentions: mentions.unwrap_or_default().into_iter().map(UserId::known).collect(),
        reactions: reactions.unwrap_or_default(),
        pinned,
    };
    (ConversationId::known(conversation), message)
}

/// A page of messages.
pub async fn history(
    pool: &PgPool,
    reader: Reader,
    direction: Direction,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let (rest, bound) = match direction {
        Direction::Before(bound) => ("m.position < $4 order by m.position desc limit $5", bound),
        Direction::After(bound) => ("m.position > $4 order by m.position limit $5", bound),
    };
    let sql = select(&format!("{ONE_CONVERSATION} and {rest}"));
    let rows = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
        .bind(bigint(bound))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|row| read(row).1).collect())
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
    let part = |which: &str| select(&format!("{ONE_CONVERSATION} and {which}"));
    let sql = format!(
        "({}) union all ({}) order by position desc",
        part("m.position <= $4 order by m.position desc limit $5"),
        part("m.position > $4 order by m.position limit $6"),
    );
    let rows = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
        .bind(bigint(at))
        .bind(older)
        .bind(newer)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|row| read(row).1).collect())
}

/// One message.
pub async fn message(pool: &PgPool, reader: Reader, id: MessageId) -> sqlx::Result<Option<Message>> {
    let sql = select(&format!("{ONE_CONVERSATION} and m.id = $4"));
    let row = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| read(row).1))
}

/// The messages at these places, each of a conversation that is there for the user from behind a
/// position; in no order.
pub async fn messages_at(
    pool: &PgPool,
    user: UserId,
    places: &[(Reader, Position)],
) -> sqlx::Result<Vec<(ConversationId, Message)>> {
    let sql = select(
        "unnest($2::uuid[], $3::bigint[], $4::bigint[]) as place (conversation, visible_from, at)
         join message m on m.conversation_id = conversation and m.position = at and m.position > visible_from",
    );
    let rows = sqlx::query_as(AssertSqlSafe(sql))
        .bind(user.uuid())
        .bind(places.iter().map(|(reader, _)| reader.conversation.uuid()).collect::<Vec<_>>())
        .bind(places.iter().map(|(reader, _)| bigint(reader.visible_from)).collect::<Vec<_>>())
        .bind(places.iter().map(|(_, at)| bigint(*at)).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(read).collect())
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
