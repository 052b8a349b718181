//! Reading messages, as one member may see them: the one place where rows become messages. A page is
//! one query, whatever the messages carry, and costs little more than its rows if they carry nothing.

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

/// What a reader `$1` sees of messages `m`. Few of them mention somebody, have a reaction or are pinned:
/// `has` says, for a table, the condition on which a message is looked up there at all.
fn columns(has: impl Fn(&str) -> String) -> String {
    let (mentions, reactions, pinned) = (has("mention"), has("reaction"), has("pin"));
    format!(
        "m.conversation_id, m.id, m.position, m.sender, m.client_id, m.text, m.sent_at, m.edited_at,
         m.deleted_at, m.deleted_by, m.metadata, m.reply_to, m.reply_to_at, quoted.sender as quoted_sender,
         left(quoted.text, {QUOTE}) as quoted_text, quoted.deleted_at is not null as quoted_deleted,
         case when {mentions} then (
             select array_agg(x.user_id order by x.user_id) from mention x
             where x.conversation_id = m.conversation_id and x.message = m.position
         ) end as mentions,
         case when {reactions} then (
             select jsonb_agg(jsonb_build_object('emoji', emoji, 'count', count, 'mine', mine) order by first)
             from (select emoji, count(*) as count, bool_or(user_id = $1) as mine, min(position) as first
                   from reaction r
                   where r.conversation_id = m.conversation_id and r.message = m.position
                   group by emoji) counted
         ) end as reactions,
         {pinned} as pinned"
    )
}

/// All messages from the first to the last of those at the given positions of the conversation `$2`,
/// which is there for the reader from behind `$3`. What has a mention, a reaction or a pin is looked up
/// once for all: a look-up of each for every message took three quarters of the time.
fn page(positions: &str, order: &str) -> String {
    let columns = columns(|table| {
        format!(
            "m.position = any(array(
                 select distinct message from {table} where conversation_id = $2
                     and message between (select first from span) and (select last from span)))"
        )
    });
    format!(
        "with span as materialized (
             select min(position) as first, max(position) as last from ({positions}) page
         )
         select {columns}
         from message m
         left join message quoted
             on quoted.conversation_id = m.conversation_id and quoted.position = m.reply_to_at
                and quoted.position > $3
         where m.conversation_id = $2
               and m.position between (select first from span) and (select last from span)
         order by m.position {order}"
    )
}

/// Some messages `m` of conversations that are there for the reader from behind `visible_from`, as
/// `wanted` gives them.
fn some(wanted: &str) -> String {
    let columns = columns(|table| {
        format!(
            "exists (select from {table} x
                     where x.conversation_id = m.conversation_id and x.message = m.position)"
        )
    });
    format!(
        "select {columns}
         from {wanted}
         left join message quoted
             on quoted.conversation_id = m.conversation_id and quoted.position = m.reply_to_at
                and quoted.position > visible_from
         where m.position > visible_from"
    )
}

#[derive(FromRow)]
struct Row {
    conversation_id: Uuid,
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
    let (beyond, order, bound) = match direction {
        Direction::Before(bound) => ("<", "desc", bound),
        Direction::After(bound) => (">", "asc", bound),
    };
    let positions = format!(
        "select position from message where conversation_id = $2 and position > $3 and position {beyond} $4
         order by position {order} limit $5"
    );
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(page(&positions, order)))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
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
    let positions = "
        (select position from message where conversation_id = $2 and position > $3 and position <= $4
         order by position desc limit $5)
        union all
        (select position from message where conversation_id = $2 and position > greatest($3, $4)
         order by position limit $6)";
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(page(positions, "desc")))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
        .bind(bigint(at))
        .bind(older)
        .bind(newer)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// One message.
pub async fn message(pool: &PgPool, reader: Reader, id: MessageId) -> sqlx::Result<Option<Message>> {
    let one = "(select $3::bigint as visible_from) reader
               join message m on m.conversation_id = $2 and m.id = $4";
    let row: Option<Row> = sqlx::query_as(AssertSqlSafe(some(one)))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.visible_from))
        .bind(id.uuid())
        .fetch_optional(pool)
        .await?;
    Ok(row.map(Message::from))
}

/// The messages at these places, each of a conversation that is there for the user from behind a
/// position; in no order.
pub async fn messages_at(
    pool: &PgPool,
    user: UserId,
    places: &[(Reader, Position)],
) -> sqlx::Result<Vec<(ConversationId, Message)>> {
    let these = "unnest($2::uuid[], $3::bigint[], $4::bigint[]) as place (conversation_id, visible_from, at)
                 join message m on m.conversation_id = place.conversation_id and m.position = place.at";
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(some(these)))
        .bind(user.uuid())
        .bind(places.iter().map(|(reader, _)| reader.conversation.uuid()).collect::<Vec<_>>())
        .bind(places.iter().map(|(reader, _)| bigint(reader.visible_from)).collect::<Vec<_>>())
        .bind(places.iter().map(|(_, at)| bigint(*at)).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    let of = |row: Row| (ConversationId::known(row.conversation_id), Message::from(row));
    Ok(rows.into_iter().map(of).collect())
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
