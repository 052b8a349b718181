//! Finding messages by their words, newest first.
//!
//! The words are stored with each message (`message.words`, under a GIN index with its pending list) and not in a table
//! of their own: with 500,000 messages of ten words, in batches of 5,000 into Postgres 15 on two busy cores, 67,600
//! rows a second were inserted without them and 39,800 with them and one word more for the conversation. An index on an
//! expression is cheaper (46,900), but then each examined message has to be parsed again.
//!
//! No index returns the messages with a word newest first. The GIN index returns all of them, of all conversations at
//! once, and costs as much as it finds. (The conversation as one more word of each message was tried. It makes a rare
//! word slower, 70 ms for a user with 30 conversations, and a frequent word does not end with 1,000 of them.) So there
//! are two ways, and Postgres' own estimate of the number of messages decides. For rare words the index is queried. For
//! frequent words the conversations of the user are walked, from their newest messages back, until there are enough
//! hits. The user's conversations may lack a word that is frequent everywhere else: then the walk ends after [`STEPS`],
//! and the index is queried after all. Every search is aborted after [`SEARCH_WITHIN`].

use std::{
    cmp::Reverse,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool, types::Json};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position, RetentionRules, Time, UserId},
    views::{SearchQuery, bigint, horizons, position},
};

/// The number of messages of one query to the index.
const FEW: u64 = 5_000;
/// How many messages are walked in the first step for a first page, and at most in any step. Each step has twice as
/// many as the step before, because the hits of a first page are mostly among the newest messages.
const FIRST_STEP: usize = 250;
const STEP: usize = 2_000;
/// The fewest messages of one conversation that are walked in a step.
const LITTLE: usize = 4;
/// How many conversations are walked in one step, the latest first: a few messages of many conversations, and more of
/// fewer when the same conversations keep coming up.
const WIDEST: usize = STEP / LITTLE;
const NARROWEST: usize = 16;
/// The number of steps after which a walk ends.
const STEPS: usize = 10;
/// How long a search may take.
const SEARCH_WITHIN: Duration = Duration::from_secs(2);
/// How far clocks may differ: the events of a conversation have the times of several nodes.
const SKEW: Duration = Duration::from_secs(60);

/// The place of a found message: by time, and then by position, so that pages have an order.
pub type Hit = (Time, ConversationId, Position);

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The search would take too long.
    #[error("too many messages have these words")]
    TooBroad,
    /// The database does not answer.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for SearchError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some("57014") => Self::TooBroad,
            _ => Self::Database(error),
        }
    }
}

/// Messages that a user may see, as far as the views know, newest first from after a hit.
pub async fn search(
    pool: &PgPool,
    rules: RetentionRules,
    user: UserId,
    conversation: Option<ConversationId>,
    wanted: &SearchQuery,
    after: Option<Hit>,
    limit: i64,
) -> Result<Vec<Hit>, SearchError> {
    // The statement timeout stops a search whose caller is gone.
    let begin = format!(
        "begin read only; set local statement_timeout = {}; set local enable_bitmapscan = on;
         set local enable_hashjoin = on; set local max_parallel_workers_per_gather = 0",
        SEARCH_WITHIN.as_millis()
    );
    let answers = AtomicBool::new(false);
    let searching = async {
        let mut transaction = pool.begin_with(AssertSqlSafe(begin)).await?;
        let limit = limit.try_into().unwrap_or_default();
        let asked = Asked { rules, user, conversation, wanted, after, limit };
        let is_rare = asked.is_rare(&mut transaction).await?;
        answers.store(true, Ordering::Relaxed);
        let hits = if is_rare { None } else { asked.walk(&mut transaction).await? };
        let hits = match hits {
            Some(hits) => hits,
            None => asked.index(&mut transaction).await?,
        };
        transaction.rollback().await?;
        Ok(hits)
    };
    // If the database does not answer at all, other words would not help.
    timeout(SEARCH_WITHIN, searching).await.unwrap_or_else(|_| match answers.load(Ordering::Relaxed) {
        true => Err(SearchError::TooBroad),
        false => Err(sqlx::Error::PoolTimedOut.into()),
    })
}

/// A conversation of the user that is walked.
#[derive(Clone, FromRow)]
struct Place {
    id: Uuid,
    /// The user may see the messages after this position.
    visible_from: i64,
    /// The messages that were not searched yet are before this position and not newer than this time.
    before: i64,
    newest: OffsetDateTime,
    /// Whether a part of the conversation was walked.
    #[sqlx(default)]
    is_begun: bool,
}

struct Asked<'a> {
    rules: RetentionRules,
    user: UserId,
    /// One conversation, or `None` for all conversations of the user.
    conversation: Option<ConversationId>,
    wanted: &'a SearchQuery,
    after: Option<Hit>,
    limit: usize,
}

/// The result of a step in one conversation: how many messages it has walked, the oldest of them, and the hits.
#[derive(FromRow)]
struct Looked {
    number: i64,
    count: i64,
    before: i64,
    newest: OffsetDateTime,
    positions: Option<Vec<i64>>,
    times: Option<Vec<OffsetDateTime>>,
}

impl Asked<'_> {
    /// Whether the words are rare, as Postgres estimates.
    async fn is_rare(&self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let Json(plan): Json<serde_json::Value> =
            sqlx::query_scalar("explain (format json) select from message where words @@ $1::text::tsquery")
                .bind(&self.wanted.query)
                .fetch_one(connection)
                .await?;
        let rows = plan.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_u64);
        Ok(rows.is_some_and(|rows| rows <= FEW))
    }

    /// Where a walk begins.
    async fn places(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<Place>> {
        let visible_from = horizons::visible_from(self.rules);
        sqlx::query_as(AssertSqlSafe(format!(
            "select c.id, {visible_from} as visible_from, c.head + 1 as before, c.active_at as newest
             from member me join conversation c on c.id = me.conversation_id
             where me.user_id = $1 and ($2::uuid is null or c.id = $2)"
        )))
        .bind(self.user.uuid())
        .bind(self.conversation.map(ConversationId::uuid))
        .fetch_all(connection)
        .await
    }

    /// A page by the walk, if it finds enough hits within its steps.
    async fn walk(&self, connection: &mut PgConnection) -> sqlx::Result<Option<Vec<Hit>>> {
        let mut places = self.places(connection).await?;
        let (mut found, mut steps, mut width) = (Vec::new(), 0, WIDEST);
        loop {
            // Hits that are newer than all messages not searched yet are in their final order.
            places.sort_unstable_by_key(|place| Reverse(place.newest));
            let horizon = places.first().map(|place| place.newest + SKEW);
            let is_certain = |hit: &Hit| horizon.is_none_or(|horizon| hit.0.datetime() > horizon);
            if horizon.is_none() || found.iter().filter(|hit| is_certain(hit)).count() >= self.limit {
                found.retain(is_certain);
                found.sort_unstable_by_key(|hit| Reverse(*hit));
                found.truncate(self.limit);
                return Ok(Some(found));
            }
            if steps == STEPS {
                return Ok(None);
            }
            let first = if self.after.is_none() { FIRST_STEP } else { STEP };
            let step = (first << steps).min(STEP);
            steps += 1;
            let now = places.len().min(width).min(step / LITTLE);
            let each = step / now;
            let mut left = Vec::new();
            for looked in self.look(connection, &places[..now], each as i64).await? {
                let Some(place) = places.get(looked.number as usize - 1) else { continue };
                let id = ConversationId::known(place.id);
                let hits =
                    looked.times.unwrap_or_default().into_iter().zip(looked.positions.unwrap_or_default());
                let hits = hits.map(|(time, at)| (Time::of(time), id, position(at)));
                found.extend(hits.filter(|hit| self.after.is_none_or(|after| *hit < after)));
                if looked.count == each as i64 {
                    let (before, newest) = (looked.before, looked.newest);
                    left.push(Place { before, newest, is_begun: true, ..place.clone() });
                }
            }
            if places[..now].iter().filter(|place| place.is_begun).count() * 2 > now {
                width = (width / 2).max(NARROWEST);
            }
            places.splice(..now, left);
        }
    }

    /// Walks the next messages of some conversations.
    async fn look(
        &self,
        connection: &mut PgConnection,
        places: &[Place],
        each: i64,
    ) -> sqlx::Result<Vec<Looked>> {
        sqlx::query_as(
            "with looked as (
                 select place.number, m.*
                 from unnest($1::uuid[], $2::bigint[], $3::bigint[]) with ordinality
                      as place (id, visible_from, before, number)
                 cross join lateral (
                     select position, sent_at,
                            words @@ (select $4::text::tsquery) is true as is_hit
                     from message
                     where conversation_id = place.id and position > place.visible_from
                           and position < place.before
                     order by position desc limit $5
                 ) m
             )
             select number, count(*), min(position) as before, min(sent_at) as newest,
                    array_agg(position) filter (where is_hit) as positions,
                    array_agg(sent_at) filter (where is_hit) as times
             from looked group by number",
        )
        .bind(places.iter().map(|place| place.id).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.visible_from).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.before).collect::<Vec<_>>())
        .bind(&self.wanted.query)
        .bind(each)
        .fetch_all(connection)
        .await
    }

    /// A page by the index over all messages.
    async fn index(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<Hit>> {
        // Each message with the words is looked up among the conversations once, however many conversations there are.
        // Only the conversations that have such messages are examined.
        sqlx::raw_sql("set local enable_nestloop = off").execute(&mut *connection).await?;
        let visible_from = horizons::visible_from(self.rules);
        let rows: Vec<(OffsetDateTime, Uuid, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "with found as materialized (
                 select m.sent_at, m.conversation_id, m.position
                 from message m join member me on me.conversation_id = m.conversation_id and me.user_id = $1
                 where m.words @@ $3::text::tsquery and ($2::uuid is null or m.conversation_id = $2)
                       and ($4::timestamptz is null
                            or (m.sent_at, m.conversation_id, m.position) < ($4, $5::uuid, $6::bigint))
             ),
             place as materialized (
                 select id, (select {visible_from} from conversation c
                             join member me on me.conversation_id = c.id and me.user_id = $1
                             where c.id = one.id) as visible_from
                 from (select distinct conversation_id as id from found) one
             )
             select m.sent_at, m.conversation_id, m.position
             from found m join place on place.id = m.conversation_id
             where m.position > place.visible_from
             order by m.sent_at desc, m.conversation_id desc, m.position desc limit $7"
        )))
        .bind(self.user.uuid())
        .bind(self.conversation.map(ConversationId::uuid))
        .bind(&self.wanted.query)
        .bind(self.after.map(|hit| hit.0.datetime()))
        .bind(self.after.map(|hit| hit.1.uuid()))
        .bind(self.after.map(|hit| bigint(hit.2)))
        .bind(self.limit as i64)
        .fetch_all(connection)
        .await?;
        let hit = |(sent_at, id, at)| (Time::of(sent_at), ConversationId::known(id), position(at));
        Ok(rows.into_iter().map(hit).collect())
    }
}
