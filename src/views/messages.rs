//! Messages in their current form: by page, one by one, and by key.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{self, ConversationId, Event, Json, MessageId, Position, RetentionRules, Time, UserId},
    views::{Fact, Projection, bigint, horizons, position, words},
};

pub(super) const PROJECTION: Projection = Projection {
    name: "messages",
    tables: &["message", "message_version"],
    definition: include_str!("../../migrations/views/messages.sql"),
    indexes: &[
        "create index message_id on message (conversation_id, id);",
        "create index message_words on message using gin (words);",
        // The counts of unread messages leave these out.
        "create index message_deleted on message (conversation_id, position) include (sender)
             where deleted_at is not null;",
        // A retry is known by its key for ever. If the log has a key twice nevertheless, the view shows both messages,
        // as the gateway does.
        "create index message_key on message (conversation_id, sender, client_id);",
        horizons::INDEX,
    ],
    apply,
};

/// A message by its conversation and position.
pub(super) type Place = (ConversationId, Position);

/// Applies new messages and marks first, then deletions and erasures, then edits. In this order the cut of the log into
/// batches does not matter: an edit of a deleted message is void on either side of the deletion, because a deletion
/// removes earlier edits.
fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        insert(connection, facts).await?;
        mark(connection, facts).await?;
        delete(connection, facts).await?;
        erase(connection, facts).await?;
        edit(connection, facts).await
    })
}

async fn insert(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let is_sent = |fact: &&Fact| matches!(fact.event(), Some(Event::MessageSent(_)));
    let mut sent: Vec<&Fact> = facts.iter().filter(is_sent).collect();
    // In the order of the key, so that neighbours are together in its index and in the table.
    sent.sort_unstable_by_key(|fact| (fact.recorded.conversation, fact.recorded.position));
    let n = sent.len();
    let (mut conversations, mut positions) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut ids, mut senders) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut keys, mut texts) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut times, mut metadata) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut replies, mut replies_at) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (mut folded, mut marked) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let mut erased = Vec::with_capacity(n);
    for fact in sent {
        let Some(Event::MessageSent(message)) = fact.event() else { continue };
        conversations.push(fact.recorded.conversation.uuid());
        positions.push(bigint(fact.recorded.position));
        ids.push(message.message_id.uuid());
        senders.push(fact.recorded.actor.uuid());
        keys.push(message.client_id.as_str());
        texts.push(message.text.as_str());
        times.push(fact.recorded.time.datetime());
        replies.push(message.reply_to.map(MessageId::uuid));
        replies_at.push(message.reply_to_position.map(bigint));
        metadata.push(message.metadata.as_ref().map(Json::as_str));
        let erasure = fact.recorded.erased.as_ref();
        folded.push(erasure.is_none().then(|| words::vector(message.text.as_str())));
        erased.push(erasure.map(|erasure| erasure.at.datetime()));
        marked.push(!message.mentions.is_empty());
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into message (conversation_id, position, id, sender, client_id, text, sent_at, reply_to,
                              reply_to_at, metadata, words, marked, deleted_at)
         select conversation_id, position, id, sender, client_id, text, sent_at, reply_to, reply_to_at,
                metadata, words::tsvector, marked, deleted_at
         from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                              $7::timestamptz[], $8::uuid[], $9::bigint[], $10::text[], $11::text[],
                              $12::boolean[], $13::timestamptz[])
             as new (conversation_id, position, id, sender, client_id, text, sent_at, reply_to,
                     reply_to_at, metadata, words, marked, deleted_at)
         on conflict do nothing",
    )
    .bind(conversations)
    .bind(positions)
    .bind(ids)
    .bind(senders)
    .bind(keys)
    .bind(texts)
    .bind(times)
    .bind(replies)
    .bind(replies_at)
    .bind(metadata)
    .bind(folded)
    .bind(marked)
    .bind(erased)
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks messages that have a reaction, a pin, or mentions from an edit. A mark stays when the reaction or pin is
/// removed.
async fn mark(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let place = |fact: &Fact| {
        let at = match fact.event() {
            Some(Event::ReactionAdded(added)) => added.message_position,
            Some(Event::MessagePinned(pinned)) => pinned.message_position,
            Some(Event::MessageEdited(edited)) if !edited.mentions.is_empty() => edited.message_position,
            _ => return None,
        };
        Some((fact.recorded.conversation, at))
    };
    let places: BTreeSet<Place> = facts.iter().filter_map(place).collect();
    if places.is_empty() {
        return Ok(());
    }
    let (conversations, positions) = columns(places.iter());
    sqlx::query(
        "update message m set marked = true
         from unnest($1::uuid[], $2::bigint[]) as put (conversation_id, position)
         where m.conversation_id = put.conversation_id and m.position = put.position
               and not m.marked and m.deleted_at is null",
    )
    .bind(conversations)
    .bind(positions)
    .execute(connection)
    .await?;
    Ok(())
}

/// Blanks deleted messages. The first of two deletions counts.
async fn delete(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let mut first: BTreeMap<Place, (UserId, Time)> = BTreeMap::new();
    for fact in facts {
        if let Some(Event::MessageDeleted(deleted)) = fact.event() {
            first
                .entry((fact.recorded.conversation, deleted.message_position))
                .or_insert((fact.recorded.actor, fact.recorded.time));
        }
    }
    if first.is_empty() {
        return Ok(());
    }
    let (conversations, positions) = columns(first.keys());
    let (users, times): (Vec<Uuid>, Vec<OffsetDateTime>) =
        first.values().map(|(user, time)| (user.uuid(), time.datetime())).unzip();
    sqlx::query(
        "update message m
         set text = '', words = null, metadata = null, marked = false, edited = null, edited_at = null,
             deleted_by = gone.user_id, deleted_at = gone.time
         from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[])
             as gone (conversation_id, position, user_id, time)
         where m.conversation_id = gone.conversation_id and m.position = gone.position
               and m.deleted_at is null",
    )
    .bind(&conversations)
    .bind(&positions)
    .bind(users)
    .bind(times)
    .execute(&mut *connection)
    .await?;
    forget_versions(connection, conversations, positions).await
}

async fn forget_versions(
    connection: &mut PgConnection,
    conversations: Vec<Uuid>,
    positions: Vec<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from message_version v using unnest($1::uuid[], $2::bigint[]) as gone (conversation_id, message)
         where v.conversation_id = gone.conversation_id and v.message = gone.message",
    )
    .bind(conversations)
    .bind(positions)
    .execute(connection)
    .await?;
    Ok(())
}

/// Blanks erased messages, including those that were deleted before. An erased message is like a deleted one without a
/// deleting user, and has less left. The first of two erasures counts.
async fn erase(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let mut first: BTreeMap<Place, Time> = BTreeMap::new();
    for fact in facts {
        for place in erased_by(fact) {
            first.entry(place).or_insert(fact.recorded.time);
        }
    }
    if first.is_empty() {
        return Ok(());
    }
    let (conversations, positions) = columns(first.keys());
    sqlx::query(
        "update message m
         set text = '', words = null, metadata = null, marked = false, edited = null, edited_at = null,
             client_id = '', reply_to = null, reply_to_at = null, deleted_by = null, deleted_at = gone.time
         from unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) as gone (conversation_id, position, time)
         where m.conversation_id = gone.conversation_id and m.position = gone.position
               and (m.deleted_at is null or m.deleted_by is not null)",
    )
    .bind(&conversations)
    .bind(&positions)
    .bind(first.values().map(|time| time.datetime()).collect::<Vec<OffsetDateTime>>())
    .execute(&mut *connection)
    .await?;
    forget_versions(connection, conversations, positions).await
}

/// The messages that an event erases.
pub(super) fn erased_by(fact: &Fact) -> impl Iterator<Item = Place> + '_ {
    let entries = match fact.event() {
        Some(Event::ContentErased(erased)) => erased.erased.as_slice(),
        _ => &[],
    };
    let messages = entries.iter().filter(|entry| entry.is_message());
    messages.map(|entry| (fact.recorded.conversation, entry.position))
}

/// Stores every text of an edited message, and puts the last text into the message.
async fn edit(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let (mut conversations, mut messages, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut texts, mut times, mut folded) = (Vec::new(), Vec::new(), Vec::new());
    for fact in facts {
        let Some(Event::MessageEdited(edited)) = fact.event() else { continue };
        conversations.push(fact.recorded.conversation.uuid());
        messages.push(bigint(edited.message_position));
        positions.push(bigint(fact.recorded.position));
        texts.push(edited.text.as_str());
        folded.push(words::vector(edited.text.as_str()));
        times.push(fact.recorded.time.datetime());
    }
    if texts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "with edit as (
             select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[])
                 as edit (conversation_id, message, position, text, time)
         )
         insert into message_version (conversation_id, message, position, text, said_at)
         select m.conversation_id, m.position, m.position, m.text, m.sent_at
         from message m
         where m.edited is null and m.deleted_at is null
               and (m.conversation_id, m.position) in (select conversation_id, message from edit)
         union all
         select m.conversation_id, m.position, edit.position, edit.text, edit.time
         from message m join edit on edit.conversation_id = m.conversation_id and edit.message = m.position
         where m.deleted_at is null
         on conflict do nothing",
    )
    .bind(&conversations)
    .bind(&messages)
    .bind(&positions)
    .bind(&texts)
    .bind(&times)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update message m set text = last.text, words = last.words::tsvector,
             edited = last.position, edited_at = last.time
         from (
             select distinct on (conversation_id, message) *
             from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[])
                 as edit (conversation_id, message, position, text, time, words)
             order by conversation_id, message, position desc
         ) last
         where m.conversation_id = last.conversation_id and m.position = last.message
               and m.deleted_at is null and coalesce(m.edited, 0) < last.position",
    )
    .bind(conversations)
    .bind(messages)
    .bind(positions)
    .bind(texts)
    .bind(times)
    .bind(folded)
    .execute(connection)
    .await?;
    Ok(())
}

/// The messages that a batch deletes or erases, as columns.
pub(super) fn deleted(facts: &[Fact]) -> Option<(Vec<Uuid>, Vec<i64>)> {
    let place = |fact: &Fact| match fact.event() {
        Some(Event::MessageDeleted(deleted)) => Some((fact.recorded.conversation, deleted.message_position)),
        _ => None,
    };
    let erased = facts.iter().flat_map(erased_by);
    let places: BTreeSet<Place> = facts.iter().filter_map(place).chain(erased).collect();
    (!places.is_empty()).then(|| columns(places.iter()))
}

pub(super) fn columns<'a>(places: impl Iterator<Item = &'a Place>) -> (Vec<Uuid>, Vec<i64>) {
    places.map(|(conversation, at)| (conversation.uuid(), bigint(*at))).unzip()
}

/// How much of a message its readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All of it.
    Whole,
    /// Nothing: it is deleted.
    Deleted,
    /// Nothing: it is older than the retention of its conversation, and not pinned.
    Expired,
}

/// How much readers see of the messages at these positions of a conversation.
pub(crate) async fn sights(
    pool: &PgPool,
    rules: RetentionRules,
    conversation: ConversationId,
    positions: &[Position],
) -> sqlx::Result<HashMap<Position, Sight>> {
    let expired = horizons::expired(rules, "c");
    let rows: Vec<(i64, bool, Option<bool>)> = sqlx::query_as(AssertSqlSafe(format!(
        "select m.position, m.deleted_at is not null,
                m.position <= c.expired and not exists (
                    select from pin where conversation_id = m.conversation_id and message = m.position)
         from (select c.id, {expired} as expired from conversation c where c.id = $1) c
         join message m on m.conversation_id = c.id and m.position = any($2)"
    )))
    .bind(conversation.uuid())
    .bind(positions.iter().map(|position| bigint(*position)).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let sight = |(at, is_deleted, is_expired): (i64, bool, Option<bool>)| {
        let sight = match (is_deleted, is_expired) {
            (_, Some(true)) => Sight::Expired,
            (true, _) => Sight::Deleted,
            _ => Sight::Whole,
        };
        (position(at), sight)
    };
    Ok(rows.into_iter().map(sight).collect())
}

/// A message for a command on it, with the position of the view of its conversation: if the conversation is parked, the
/// view stands before the parked event.
pub(crate) async fn found(
    pool: &PgPool,
    stream: usize,
    conversation: ConversationId,
    message: MessageId,
    user: UserId,
    retention: Option<u64>,
) -> sqlx::Result<(Position, Option<domain::FoundMessage>)> {
    type FoundRow = (
        Option<i64>,
        Option<i64>,
        Option<Uuid>,
        Option<String>,
        Option<bool>,
        Option<Vec<String>>,
        Option<bool>,
        Option<i64>,
        Option<bool>,
    );
    let (at, place, sender, text, deleted, mine, pinned, pins, is_old): FoundRow = sqlx::query_as(
        "select reached.position, m.position, m.sender, m.text, m.deleted_at is not null,
                (select array_agg(r.emoji) from reaction r
                 where r.conversation_id = $2 and r.message = m.position and r.user_id = $4),
                exists (select from pin p where p.conversation_id = $2 and p.message = m.position),
                (select count(*) from pin p where p.conversation_id = $2),
                m.sent_at < now() - make_interval(secs => $5::bigint)
         from (select least((select min(position) from checkpoint where stream = $1),
                            (select position - 1 from parked where conversation = $2)) as position) reached
         left join message m on m.conversation_id = $2 and m.id = $3",
    )
    .bind(stream as i32)
    .bind(conversation.uuid())
    .bind(message.uuid())
    .bind(user.uuid())
    .bind(retention.map(u64::cast_signed))
    .fetch_one(pool)
    .await?;
    let found = place.zip(sender).map(|(place, sender)| domain::FoundMessage {
        id: message,
        position: position(place),
        sender: UserId::known(sender),
        text: text.unwrap_or_default(),
        deleted: deleted.unwrap_or_default(),
        mine: mine.unwrap_or_default().into_iter().collect(),
        pinned: pinned.unwrap_or_default(),
        pins: pins.unwrap_or_default().try_into().unwrap_or_default(),
        expired: is_old.unwrap_or_default() && !pinned.unwrap_or_default(),
    });
    Ok((position(at.unwrap_or_default()), found))
}
