//! Reading messages as one member may see them. Rows become messages in this file only. A page is one query, whatever
//! the messages carry. If they carry nothing, the page costs little more than its rows.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool, types::Json as AsJson};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Json, MessageId, Position, Time, UserId},
    views::{
        Moment, bigint,
        moment::{self, with_moment},
        position,
    },
};

/// The most characters of a quoted message. The query repeats the number.
pub(crate) const QUOTE: usize = 200;

/// A member who reads a conversation, and the position from which the member may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The conversation that is read.
    pub conversation: ConversationId,
    /// The reading member.
    pub user: UserId,
    /// The member may see events after this position only.
    pub visible_from: Position,
    /// The messages up to this position are older than the retention of the conversation. Of these, the member may see
    /// only the pinned ones, one by one.
    pub expired: Position,
}

impl Reader {
    /// The position after which the member sees the history.
    pub(crate) fn from(&self) -> Position {
        self.visible_from.max(self.expired)
    }

    /// The first position of the history, if it does not begin where the member may see the conversation.
    pub(crate) fn floor(&self) -> Option<Position> {
        (self.expired > Position::START).then(|| Position(self.from().0 + 1))
    }
}

/// A message as a member sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id of the message.
    pub id: MessageId,
    /// The position of the message.
    pub position: Position,
    /// The author of the message.
    pub sender: UserId,
    /// The sender's idempotency key.
    pub client_id: String,
    /// As typed; empty once it is deleted.
    pub text: String,
    /// The time of the original message, also after an edit.
    pub sent_at: Time,
    /// The time of the last edit.
    pub edited_at: Option<Time>,
    /// The time of the deletion; the text is gone since then.
    pub deleted_at: Option<Time>,
    /// The author, or the admin who deleted the message.
    pub deleted_by: Option<UserId>,
    /// The message that this one answers.
    pub reply_to: Option<Quote>,
    /// The metadata, in the bytes of the client.
    pub metadata: Option<Json>,
    /// The mentioned members, by id.
    pub mentions: Vec<UserId>,
    /// The reactions, the oldest first.
    pub reactions: Vec<ReactionCount>,
    /// Whether the message is pinned.
    pub pinned: bool,
}

/// The message that another one answers. If the reader may not see it, or it is not known yet, the quote has the id
/// and the position only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The id of the message.
    pub id: MessageId,
    /// The position of the message.
    pub position: Position,
    /// The author of the message.
    pub sender: Option<UserId>,
    /// The beginning of the text, up to 200 characters.
    pub text: Option<String>,
    /// Whether the message is deleted.
    pub deleted: bool,
}

/// How often a message has a reaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactionCount {
    /// The emoji, fully qualified.
    pub emoji: String,
    /// How many members have reacted with it.
    pub count: i64,
    /// Whether the reader is among them.
    pub mine: bool,
}

/// The direction and the edge of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Newest first, from before a position.
    Before(Position),
    /// Oldest first, from after a position.
    After(Position),
}

impl Direction {
    /// The page after a message, in the same direction.
    pub fn behind(self, position: Position) -> Self {
        match self {
            Self::Before(_) => Self::Before(position),
            Self::After(_) => Self::After(position),
        }
    }
}

/// The columns that the reader `$1` sees of messages `m`, in conversations that the reader may see after
/// `visible_from`. The rare columns are one value, and are looked up only for messages that have any: look-ups for all
/// messages made a page three times as expensive for Postgres.
const COLUMNS: &str = "
    m.id, m.position, m.sender, m.client_id, m.text, m.sent_at, m.metadata,
    case when m.marked or m.reply_to is not null or m.edited_at is not null or m.deleted_at is not null
    then jsonb_build_object(
        'edited_at', m.edited_at, 'deleted_at', m.deleted_at, 'deleted_by', m.deleted_by,
        'reply_to', m.reply_to, 'reply_to_at', m.reply_to_at,
        'quoted', (
            select jsonb_build_object('sender', sender, 'text', left(text, 200),
                                      'deleted', deleted_at is not null)
            from message
            where conversation_id = m.conversation_id and position = m.reply_to_at
                  and position > visible_from),
        'mentions', case when m.marked then (
            select jsonb_agg(user_id order by user_id) from mention
            where conversation_id = m.conversation_id and message = m.position) end,
        'reactions', case when m.marked then (
            select jsonb_agg(jsonb_build_object('emoji', emoji, 'count', count, 'mine', mine) order by first)
            from (select emoji, count(*) as count, bool_or(user_id = $1) as mine, min(position) as first
                  from reaction
                  where conversation_id = m.conversation_id and message = m.position
                  group by emoji) counted) end,
        'pinned', m.marked and exists (
            select from pin where conversation_id = m.conversation_id and message = m.position)
    ) end";

/// Messages of the conversation `$2`, which the reader may see after `$3`. More conditions, an order and a limit may
/// follow.
fn select(rest: &str) -> String {
    format!(
        "select {COLUMNS} from (select $3::bigint as visible_from) reader
         join message m on m.conversation_id = $2 and m.position > visible_from and {rest}"
    )
}

/// Whether a reader may see a message `m` that is read by itself: a pinned message does not expire. The history begins
/// after `visible_from`.
const NOT_EXPIRED: &str = "(m.position > visible_from or exists (
    select from pin where conversation_id = m.conversation_id and message = m.position))";

type MessageRow = (Uuid, i64, Uuid, String, String, OffsetDateTime, Option<String>, Option<AsJson<More>>);

/// The rare columns of a message, as one JSON object.
#[derive(Deserialize, Default)]
struct More {
    edited_at: Option<Time>,
    deleted_at: Option<Time>,
    deleted_by: Option<Uuid>,
    reply_to: Option<Uuid>,
    reply_to_at: Option<i64>,
    quoted: Option<Quoted>,
    mentions: Option<Vec<Uuid>>,
    reactions: Option<Vec<ReactionCount>>,
    pinned: bool,
}

#[derive(Deserialize)]
struct Quoted {
    sender: Uuid,
    text: String,
    deleted: bool,
}

/// Reads a row by the order of its columns, because names would be looked up in every row.
fn read((id, at, sender, client_id, text, sent_at, metadata, more): MessageRow) -> Message {
    let more = more.map(|more| more.0).unwrap_or_default();
    let quote = |(id, at), quoted: Option<Quoted>| Quote {
        id: MessageId::known(id),
        position: position(at),
        sender: quoted.as_ref().map(|quoted| UserId::known(quoted.sender)),
        deleted: quoted.as_ref().is_some_and(|quoted| quoted.deleted),
        text: quoted.map(|quoted| quoted.text),
    };
    Message {
        id: MessageId::known(id),
        position: position(at),
        sender: UserId::known(sender),
        client_id,
        text,
        sent_at: Time::of(sent_at),
        edited_at: more.edited_at,
        deleted_at: more.deleted_at,
        deleted_by: more.deleted_by.map(UserId::known),
        reply_to: more.reply_to.zip(more.reply_to_at).map(|place| quote(place, more.quoted)),
        // This program wrote the JSON.
        metadata: metadata.and_then(|json| json.parse().ok()),
        mentions: more.mentions.unwrap_or_default().into_iter().map(UserId::known).collect(),
        reactions: more.reactions.unwrap_or_default(),
        pinned: more.pinned,
    }
}

/// A message, and the conversation of the message.
type There = (Uuid, i64, Uuid, String, String, OffsetDateTime, Option<String>, Option<AsJson<More>>, Uuid);

fn there(
    (id, at, sender, key, text, sent_at, metadata, more, conversation): There,
) -> (ConversationId, Message) {
    (ConversationId::known(conversation), read((id, at, sender, key, text, sent_at, metadata, more)))
}

/// A page of messages.
pub async fn history(
    pool: &PgPool,
    reader: Reader,
    direction: Direction,
    limit: i64,
) -> sqlx::Result<(Vec<Message>, Moment)> {
    let (rest, bound) = match direction {
        Direction::Before(bound) => ("m.position < $4 order by m.position desc limit $5", bound),
        Direction::After(bound) => ("m.position > $4 order by m.position limit $5", bound),
    };
    let rows = sqlx::query(with_moment(&select(rest)))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.from()))
        .bind(bigint(bound))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    let (rows, moment) = moment::read(&rows)?;
    Ok((rows.into_iter().map(read).collect(), moment))
}

/// The messages around a position, newest first: `older` at or before the position, and `newer` after it. If there are
/// fewer on one side, more come from the other. One more message at or before the position shows that there is more.
pub(crate) async fn around(
    pool: &PgPool,
    reader: Reader,
    at: Position,
    older: i64,
    newer: i64,
) -> sqlx::Result<(Vec<Message>, Moment)> {
    let count = |side: &str| {
        format!(
            "(select count(*) from (select from message where conversation_id = $2 and position > $3 and {side}) side)"
        )
    };
    let has_newer = count("position > $4 order by position limit $6");
    let has_older = count("position <= $4 order by position desc limit $5");
    let sql = format!(
        "({}) union all ({}) order by position desc",
        select(&format!("m.position <= $4 order by m.position desc limit $5 + $6 + 1 - {has_newer}")),
        select(&format!("m.position > $4 order by m.position limit $5 + $6 - {has_older}")),
    );
    let rows = sqlx::query(with_moment(&sql))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.from()))
        .bind(bigint(at))
        .bind(older)
        .bind(newer)
        .fetch_all(pool)
        .await?;
    let (rows, moment) = moment::read(&rows)?;
    Ok((rows.into_iter().map(read).collect(), moment))
}

/// One message.
pub(crate) async fn message(pool: &PgPool, reader: Reader, id: MessageId) -> sqlx::Result<Option<Message>> {
    let sql = format!(
        "select {COLUMNS} from (select $3::bigint as visible_from) reader
         join message m on m.conversation_id = $2 and m.id = $4 and m.position > $5 and {NOT_EXPIRED}"
    );
    let row = sqlx::query_as(AssertSqlSafe(sql))
        .bind(reader.user.uuid())
        .bind(reader.conversation.uuid())
        .bind(bigint(reader.from()))
        .bind(id.uuid())
        .bind(bigint(reader.visible_from))
        .fetch_optional(pool)
        .await?;
    Ok(row.map(read))
}

/// The messages at these positions, in no order. In each conversation, the user sees only the messages after a
/// position.
pub(crate) async fn messages_at(
    pool: &PgPool,
    user: UserId,
    places: &[(Reader, Position)],
) -> sqlx::Result<Vec<(ConversationId, Message)>> {
    let sql = format!(
        "select {COLUMNS}, m.conversation_id
         from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[])
             as place (conversation, visible_from, at, since)
         join message m on m.conversation_id = conversation and m.position = at and at > since and {NOT_EXPIRED}"
    );
    let rows: Vec<There> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(user.uuid())
        .bind(places.iter().map(|(reader, _)| reader.conversation.uuid()).collect::<Vec<_>>())
        .bind(places.iter().map(|(reader, _)| bigint(reader.from())).collect::<Vec<_>>())
        .bind(places.iter().map(|(_, at)| bigint(*at)).collect::<Vec<_>>())
        .bind(places.iter().map(|(reader, _)| bigint(reader.visible_from)).collect::<Vec<_>>())
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(there).collect())
}

/// The last messages of conversations, each for its reader `user`: at most `limit` of each conversation, the newest
/// first.
pub(crate) async fn last_messages(
    pool: &PgPool,
    user: UserId,
    readers: &[Reader],
    limit: i64,
) -> sqlx::Result<Vec<(ConversationId, Message)>> {
    let sql = format!(
        "select {COLUMNS}, m.conversation_id
         from unnest($2::uuid[], $3::bigint[]) as reader (conversation, visible_from)
         cross join lateral (
             select * from message where conversation_id = conversation and position > visible_from
             order by position desc limit $4
         ) m
         order by m.conversation_id, m.position desc"
    );
    let rows: Vec<There> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(user.uuid())
        .bind(readers.iter().map(|reader| reader.conversation.uuid()).collect::<Vec<_>>())
        .bind(readers.iter().map(|reader| bigint(reader.from())).collect::<Vec<_>>())
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(there).collect())
}

/// A version of a message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// The position of the event that wrote this version: the message, or an edit.
    pub position: Position,
    /// As typed.
    pub text: String,
    /// The time at which this version was written.
    pub said_at: Time,
}

/// The versions of a message's text, the oldest first, from after a position. A deleted message has none.
pub(crate) async fn versions(
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
