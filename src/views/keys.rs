//! Idempotency keys of changes to messages and to rosters, and of void events. A retry gets the answer of the first
//! attempt, even if the first attempt is void.

use std::collections::{HashMap, HashSet};

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    domain::{ClientId, ConversationId, Event, Position, Recorded, RecordedKey, UserId},
    views::{Fact, Projection, bigint, plan_once, position},
};

pub(super) const PROJECTION: Projection = Projection {
    name: "keys",
    tables: &["key"],
    definition: include_str!("../../migrations/views/keys.sql"),
    indexes: &[],
    apply,
};

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let (mut keys, mut hashed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for fact in facts {
            let Recorded { conversation, actor, position, .. } = fact.recorded;
            if let Some(Event::ContentErased(erased)) = fact.event() {
                for entry in &erased.erased {
                    gone.push((conversation, entry.position));
                    let key = entry.client_hash.as_deref().map(RecordedKey::Erased);
                    hashed.extend(key.map(|key| (conversation, entry.actor, stored(key), entry.position)));
                }
            }
            match fact.recorded.key() {
                Some(key @ RecordedKey::Erased(_)) => {
                    hashed.push((conversation, actor, stored(key), position));
                }
                // The key of a message that counts is stored with the message.
                Some(RecordedKey::Plain(_)) if matches!(fact.event(), Some(Event::MessageSent(_))) => {}
                Some(key) => keys.push((conversation, actor, stored(key), position)),
                None => {}
            }
        }
        put(connection, keys).await?;
        take(connection, &gone).await?;
        put(connection, hashed).await
    })
}

/// A key as the table has it. What is left of the key of an erased command identifies a retry, and does not reveal what
/// the client wrote. The queries below know its beginning, which no key of a client can have.
fn stored(key: RecordedKey<'_>) -> String {
    match key {
        RecordedKey::Plain(key) => key.to_owned(),
        RecordedKey::Erased(hash) => format!("erased:{hash}"),
    }
}

async fn put(
    connection: &mut PgConnection,
    keys: Vec<(ConversationId, UserId, String, Position)>,
) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into key (conversation_id, user_id, client_id, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) on conflict do nothing",
    )
    .bind(keys.iter().map(|key| key.0.uuid()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.1.uuid()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.2.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| bigint(key.3)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the keys of erased events. `offset 0` makes Postgres look up each position: while the table is small, it would
/// plan to read all keys and to compare each with all positions, and would keep that plan.
async fn take(connection: &mut PgConnection, gone: &[(ConversationId, Position)]) -> sqlx::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from key where ctid = any(array(
             select of_gone.ctid from unnest($1::uuid[], $2::bigint[]) as gone (conversation_id, position)
             cross join lateral (
                 select ctid from key
                 where conversation_id = gone.conversation_id and position = gone.position
                       and client_id not like 'erased:%'
                 offset 0
             ) of_gone
         ))",
    )
    .bind(gone.iter().map(|place| place.0.uuid()).collect::<Vec<_>>())
    .bind(gone.iter().map(|place| bigint(place.1)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// A key to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sending {
    /// The conversation of its command.
    pub conversation: ConversationId,
    /// The user who sent it.
    pub user: UserId,
    /// The key.
    pub key: ClientId,
}

impl Sending {
    /// The conversation and the user.
    pub(crate) fn pair(&self) -> (ConversationId, UserId) {
        (self.conversation, self.user)
    }
}

/// A key to look up, in the forms in which the views may have it.
#[derive(Debug)]
pub(crate) struct AskedKey {
    /// The key.
    pub sending: Sending,
    /// The replacement for the key if its command is erased.
    pub hash: String,
    /// The latest keys of the user before this one are wanted as well.
    pub latest_before: Option<Uuid>,
}

/// The latest keys of a user in a conversation, in the order of their texts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LatestKeys {
    /// The latest of the messages, and the latest of everything else.
    pub keys: Vec<String>,
    /// Whether the user has keys there of which only the hashes are left.
    pub has_erased: bool,
}

/// The answer of one complete set of views about keys, at one moment.
#[derive(Debug, Default)]
pub(crate) struct FoundKey {
    /// The positions of the keys that the views have.
    pub at: HashMap<Sending, Position>,
    /// The latest keys of the pairs for which they were wanted.
    pub latest: HashMap<(ConversationId, UserId), LatestKeys>,
    /// The position of the views in every stream.
    pub reached: HashMap<usize, Position>,
    /// The conversations whose views stand still.
    pub parked: HashSet<ConversationId>,
}

/// Looks keys up, on one connection for all look-ups: this is faster than taking turns on many.
pub(crate) struct UsedKeys {
    pool: PgPool,
    connection: Option<PgConnection>,
    /// The number of the set that answered last. Every set has a different number.
    set: Option<i64>,
}

impl UsedKeys {
    /// Looks keys up in the views of a database.
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, connection: None, set: None }
    }

    /// Queries the views. `None` if there are none, or if they have started over: the new set lacks keys that the old
    /// one had.
    pub(crate) async fn look_up(&mut self, keys: &[AskedKey]) -> sqlx::Result<Option<FoundKey>> {
        if let Some(connection) = self.connection.take()
            && let Ok(found) = self.ask(connection, keys).await
        {
            return Ok(found);
        }
        let mut connection = self.pool.acquire().await?.detach();
        plan_once(&mut connection).await?;
        (self.set, _) = look_up(&mut connection, &[]).await?;
        self.ask(connection, keys).await
    }

    /// Queries on this connection. A connection that has failed is not used again.
    async fn ask(
        &mut self,
        mut connection: PgConnection,
        keys: &[AskedKey],
    ) -> sqlx::Result<Option<FoundKey>> {
        let (set, found) = look_up(&mut connection, keys).await?;
        self.connection = Some(connection);
        let before = std::mem::replace(&mut self.set, set);
        Ok((set.is_some() && set == before).then_some(found))
    }
}

/// An answer, and the set of views that it comes from. All of the answer comes from this set only if the previous
/// answer did, too: one statement sees one state of the rows, but looks up its tables one after the other, the
/// checkpoints last.
async fn look_up(connection: &mut PgConnection, keys: &[AskedKey]) -> sqlx::Result<(Option<i64>, FoundKey)> {
    type KeyRow = (i64, i32, i64, Vec<Uuid>, Vec<i64>, Vec<i64>, Vec<i64>, Vec<Option<String>>, Vec<bool>);
    let conversations: Vec<Uuid> = keys.iter().map(|key| key.sending.conversation.uuid()).collect();
    let users: Vec<Uuid> = keys.iter().map(|key| key.sending.user.uuid()).collect();
    let texts: Vec<&str> = keys.iter().map(|key| key.sending.key.as_str()).collect();
    let hashes: Vec<String> = keys.iter().map(|key| stored(RecordedKey::Erased(&key.hash))).collect();
    let ends: Vec<Option<String>> =
        keys.iter().map(|key| key.latest_before.map(|end| end.to_string())).collect();
    let rows: Vec<KeyRow> = sqlx::query_as(
        "with asked as (
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) with ordinality
                 as asked (conversation_id, user_id, client_id, hash, ending, number)
         ), done as (
             select asked.number, m.position from asked
             join message m on m.conversation_id = asked.conversation_id and m.sender = asked.user_id
                               and m.client_id = asked.client_id
             union all
             select asked.number, k.position from asked join key k using (conversation_id, user_id, client_id)
             union all
             select asked.number, k.position from asked
             join key k on k.conversation_id = asked.conversation_id and k.user_id = asked.user_id
                           and k.client_id = asked.hash
         ), found as (
             select coalesce(array_agg(number), '{}') as numbers, coalesce(array_agg(position), '{}') as positions
             from done
         ), latest as (
             select coalesce(array_agg(number), '{}') as numbers, coalesce(array_agg(key), '{}') as keys,
                    coalesce(array_agg(is_erased), '{}') as erased
             from asked cross join lateral (
                 select max(m.client_id) as key, false as is_erased from message m
                 where m.conversation_id = asked.conversation_id and m.sender = asked.user_id
                       and m.client_id < asked.ending
                 union all
                 select max(k.client_id), exists (
                     select from key e where e.conversation_id = asked.conversation_id
                                             and e.user_id = asked.user_id
                                             and e.client_id >= 'erased:' and e.client_id < 'erased;'
                 ) from key k
                 where k.conversation_id = asked.conversation_id and k.user_id = asked.user_id
                       and k.client_id < asked.ending
             ) as of_one
             where asked.ending is not null
         ), stopped as (
             select coalesce(array_agg(conversation), '{}') as conversations from parked
             where conversation is not null
         )
         select c.*, stopped.conversations, found.numbers, found.positions, latest.numbers, latest.keys, latest.erased
         from found, stopped, latest, (
             select tableoid::bigint, stream, min(position) from checkpoint group by tableoid, stream
         ) as c",
    )
    .bind(conversations)
    .bind(users)
    .bind(texts)
    .bind(hashes)
    .bind(ends)
    .fetch_all(connection)
    .await?;
    let (mut set, mut found) = (None, FoundKey::default());
    for (of, stream, at, parked, numbers, places, pairs, latest, erased) in rows {
        set = Some(of);
        found.reached.insert(stream as usize, position(at));
        found.parked.extend(parked.into_iter().map(ConversationId::known));
        for (number, at) in numbers.into_iter().zip(places) {
            let sending = keys[number as usize - 1].sending.clone();
            let first = found.at.entry(sending).or_insert(position(at));
            *first = position(at).min(*first);
        }
        for ((number, key), is_erased) in pairs.into_iter().zip(latest).zip(erased) {
            let pair = keys[number as usize - 1].sending.pair();
            let latest = found.latest.entry(pair).or_default();
            latest.keys.extend(key);
            latest.has_erased |= is_erased;
        }
    }
    Ok((set, found))
}
