//! The conversations of a member: the list, and one of them.

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, History, Kind, MessageId, Position, RetentionRules, Role, Time, UserId},
    views::{
        Moment, horizons,
        moment::{self, with_moment},
        position, read_word,
    },
};

/// A conversation as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyConversation {
    /// The id of the conversation.
    pub id: ConversationId,
    /// Direct or group.
    pub kind: Kind,
    /// A group's title.
    pub title: Option<String>,
    /// The history setting for later members.
    pub history: History,
    /// The seconds for which messages are kept, if the conversation sets its own retention.
    pub retention: Option<u64>,
    /// The other member of a direct conversation.
    pub peer: Option<UserId>,
    /// My role.
    pub role: Role,
    /// The time of `conversation.created`.
    pub created_at: Time,
    /// The time of the last message, or of my joining if that was later.
    pub active_at: Time,
    /// The last message that I may read.
    pub last_message: Option<LastMessage>,
    /// Messages of others after my read position, counted up to 1,000 among the latest 10,000.
    pub unread: i64,
    /// How many unread messages mention me, counted up to 1,000.
    pub mentions: i64,
    /// My read position.
    pub read: Position,
    /// The last position.
    pub head: Position,
}

/// The last message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMessage {
    /// The id of the message.
    pub id: MessageId,
    /// The position of the message.
    pub position: Position,
    /// The author of the message.
    pub sender: UserId,
    /// The current text; empty once the message is deleted.
    pub text: String,
    /// The time of the original message, also after an edit.
    pub sent_at: Time,
    /// The time of the last edit.
    pub edited_at: Option<Time>,
    /// The time of the deletion; the text is gone since then.
    pub deleted_at: Option<Time>,
}

#[derive(FromRow)]
struct ConversationRow {
    id: Uuid,
    kind: String,
    title: Option<String>,
    history: String,
    retention: Option<i64>,
    peer: Option<Uuid>,
    role: String,
    created_at: OffsetDateTime,
    moved_at: OffsetDateTime,
    head: i64,
    read: i64,
    unread: i64,
    mentions: i64,
    message_id: Option<Uuid>,
    message_position: Option<i64>,
    sender: Option<Uuid>,
    text: Option<String>,
    sent_at: Option<OffsetDateTime>,
    edited_at: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
}

/// The sort key of a conversation in the list of a member. A new member finds the conversation at the top.
const MOVED: &str = "greatest(c.active_at, me.joined_at)";

/// Conversations as their member `$1` sees them, the latest first. `which` selects the ids of the wanted conversations,
/// which are few: messages are read of these only.
fn select(which: &str, rules: RetentionRules) -> String {
    let visible_from = horizons::visible_from(rules);
    format!(
        "with wanted as materialized ({which}),
         mine as materialized (
             select c.*, me.user_id, me.role, {MOVED} as moved_at,
                    {visible_from} as visible_from,
                    coalesce((select read from receipt
                              where conversation_id = wanted.id and user_id = $1), 0) as read
             from wanted join member me on me.conversation_id = wanted.id and me.user_id = $1
             join conversation c on c.id = wanted.id
         ),
         c as (select *, greatest(read, visible_from) as read_to from mine) {SELECT} order by c.moved_at desc, c.id desc"
    )
}

/// The columns that a member sees of the conversations `c`. Unread messages are counted in the primary key of the
/// messages, which also has their senders. The key does not know deletions, so as many more messages are counted as
/// there are deleted ones, and these are subtracted. Both counts look at the latest 10,000 messages only, because of
/// programs that send much and never read. Where these begin is looked up only if there is a deleted message.
const SELECT: &str = "
    select c.id, c.kind, c.title, c.history, c.retention, c.role, c.created_at, c.moved_at, c.head,
           case when c.kind = 'direct' then (
               select user_id from member where conversation_id = c.id and user_id <> c.user_id limit 1
           ) end as peer,
           c.read, greatest(unread.others - gone.others, 0) as unread, mentions.mentions,
           m.id as message_id, m.position as message_position, m.sender, m.text, m.sent_at, m.edited_at,
           m.deleted_at
    from c
    left join lateral (
        select id, position, sender, text, sent_at, edited_at, deleted_at from message
        where conversation_id = c.id and position > c.visible_from
        order by position desc limit 1
    ) m on true
    cross join lateral (
        select count(*) as others from (
            select from message
            where conversation_id = c.id and sender <> c.user_id and deleted_at is not null
                  and position > case when exists (
                      select from message
                      where conversation_id = c.id and position > c.read_to and deleted_at is not null
                  ) then greatest(c.read_to, (
                      select position from message where conversation_id = c.id and position > c.read_to
                      order by position desc offset 10000 limit 1
                  )) else c.read_to end
        ) deleted
    ) gone
    cross join lateral (
        select count(*) as others from (
            select from (
                select sender from message where conversation_id = c.id and position > c.read_to
                order by position desc limit 10000
            ) newest
            where sender <> c.user_id limit 1000 + gone.others
        ) counted
    ) unread
    cross join lateral (
        select count(*) as mentions from (
            select from mention
            where conversation_id = c.id and user_id = c.user_id and message > c.read_to
                  and sender <> c.user_id
            limit 1000
        ) counted
    ) mentions";

fn conversation(row: ConversationRow) -> sqlx::Result<MyConversation> {
    let last = (row.message_id, row.message_position, row.sender, row.text, row.sent_at);
    let last_message = match last {
        (Some(id), Some(at), Some(sender), Some(text), Some(sent_at)) => Some(LastMessage {
            id: MessageId::known(id),
            position: position(at),
            sender: UserId::known(sender),
            text,
            sent_at: Time::of(sent_at),
            edited_at: row.edited_at.map(Time::of),
            deleted_at: row.deleted_at.map(Time::of),
        }),
        _ => None,
    };
    Ok(MyConversation {
        id: ConversationId::known(row.id),
        kind: read_word(row.kind)?,
        title: row.title,
        history: read_word(row.history)?,
        retention: row.retention.map(i64::cast_unsigned),
        peer: row.peer.map(UserId::known),
        role: read_word(row.role)?,
        created_at: Time::of(row.created_at),
        active_at: Time::of(row.moved_at),
        last_message,
        unread: row.unread,
        mentions: row.mentions,
        read: position(row.read),
        head: position(row.head),
    })
}

/// A conversation of mine.
pub(crate) async fn one(
    pool: &PgPool,
    rules: RetentionRules,
    user: UserId,
    id: ConversationId,
) -> sqlx::Result<Option<MyConversation>> {
    let row: Option<ConversationRow> =
        sqlx::query_as(sqlx::AssertSqlSafe(select("select $2::uuid as id", rules)))
            .bind(user.uuid())
            .bind(id.uuid())
            .fetch_optional(pool)
            .await?;
    row.map(conversation).transpose()
}

/// A selection of my conversations, by a list that the view does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among<'a> {
    /// These conversations only.
    These(&'a [ConversationId]),
    /// All conversations but these.
    AllBut(&'a [ConversationId]),
}

/// My conversations, the latest first, after the conversation `after`.
pub async fn page(
    pool: &PgPool,
    rules: RetentionRules,
    user: UserId,
    among: Among<'_>,
    after: Option<(Time, ConversationId)>,
    limit: i64,
) -> sqlx::Result<(Vec<MyConversation>, Moment)> {
    let (time, id) = after.map(|(time, id)| (time.datetime(), id.uuid())).unzip();
    let (listed, wanted) = match among {
        Among::These(ids) => (ids, true),
        Among::AllBut(ids) => (ids, false),
    };
    // This is a separate comparison, so that Postgres hashes the list once instead of searching it for each row.
    let which = format!(
        "select c.id from member me join conversation c on c.id = me.conversation_id
         where me.user_id = $1 and ($2::timestamptz is null or ({MOVED}, c.id) < ($2, $3))
               and (c.id in (select unnest($5::uuid[]))) = $6
         order by {MOVED} desc, c.id desc limit $4"
    );
    let rows = sqlx::query(with_moment(&select(&which, rules)))
        .bind(user.uuid())
        .bind(time)
        .bind(id)
        .bind(limit)
        .bind(listed.iter().map(|id| id.uuid()).collect::<Vec<_>>())
        .bind(wanted)
        .fetch_all(pool)
        .await?;
    let (rows, moment) = moment::read::<ConversationRow>(&rows)?;
    Ok((rows.into_iter().map(conversation).collect::<sqlx::Result<_>>()?, moment))
}
