//! Finding messages by their words, newest first.
//!
//! The words stand with each message (`message.words`, under a GIN index with its pending list) and not
//! in a table of their own: with 500,000 messages of ten words, in batches of 5,000 into Postgres 15 on
//! two busy cores, 67,600 rows a second were inserted without them and 39,800 with them and one word
//! more for the conversation. An index on an expression is cheaper (46,900), but then each message that
//! is looked at has to be parsed again.
//!
//! No index leads to a word newest first, and a GIN index gives all messages with a word of all
//! conversations at once: 1 to 7 ms for a rare one among 1,000,000 messages, but 0.5 to 1.7 s for one
//! that 250,000 to 740,000 of them have. (To have the conversation as one more word of each message was
//! tried. It makes a rare word slower, 70 ms for somebody with 30 conversations, and a frequent one does
//! not end with 1,000.) So the newest messages of the user's conversations are looked at first, [`NEAR`]
//! in all, by their key, in 2 to 50 ms for 3 to 1,000 conversations. That is enough for a word that is
//! frequent there, and for somebody who has no more messages. The index is asked only if it is not, and
//! gives up after two seconds.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, postgres::PgArguments, query::QueryAs};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Wanted, bigint, position};
use crate::domain::{ConversationId, Position, Time, UserId};

/// How many of the newest messages are looked at one by one.
const NEAR: i64 = 2_000;
/// In how many conversations at most, those that moved last.
const CONVERSATIONS: i64 = 200;
/// Postgres gives up after this, in milliseconds.
const PATIENCE: &str = "2000";

/// Where a message stands that was found; by time, and then by place, so that pages have an order.
pub type Hit = (Time, ConversationId, Position);

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// It would take too long.
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

/// The conversations of the user `$1`, or `$2` alone, and from where on each is there for them.
const MINE: &str = "
    mine as materialized (
        select c.id, c.active_at, case c.history when 'full' then 0 else m.since end as visible_from
        from member m join conversation c on c.id = m.conversation_id
        where m.user_id = $1 and ($2::uuid is null or c.id = $2)
    )";
/// That a message `m` is behind the page that ended with the hit `$4`, `$5`, `$6`.
const BEHIND: &str =
    "($4::timestamptz is null or (m.sent_at, m.conversation_id, m.position) < ($4, $5::uuid, $6::bigint))";

/// Messages that a user may see, as far as the views know, newest first from behind a hit.
pub async fn search(
    pool: &PgPool,
    user: UserId,
    conversation: Option<ConversationId>,
    wanted: &Wanted,
    after: Option<Hit>,
    limit: i64,
) -> Result<Vec<Hit>, SearchError> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(format!("set local statement_timeout = {PATIENCE}")))
        .execute(&mut *transaction)
        .await?;
    let asked = Asked { user, conversation, wanted, after, limit };
    let hits = match asked.near(&mut transaction).await? {
        Some(page) => page,
        None => asked.everywhere(&mut transaction).await?,
    };
    transaction.rollback().await?;
    Ok(hits)
}

struct Asked<'a> {
    user: UserId,
    conversation: Option<ConversationId>,
    wanted: &'a Wanted,
    after: Option<Hit>,
    limit: i64,
}

type Row = (Option<OffsetDateTime>, Option<Uuid>, Option<i64>, bool);

impl Asked<'_> {
    /// A page among the newest messages, if they are enough for one.
    async fn near(&self, connection: &mut PgConnection) -> sqlx::Result<Option<Vec<Hit>>> {
        // Beyond the horizon some conversation has messages that were not looked at. The times of one
        // conversation are those of several clocks, so the horizon is drawn a minute nearer.
        let sql = format!(
            "with {MINE},
             near as materialized (select * from mine order by active_at desc, id limit {CONVERSATIONS}),
             looked as materialized (
                 select m.conversation_id, m.position, m.sent_at, m.hit from near cross join lateral (
                     select m.conversation_id, m.position, m.sent_at,
                            m.words @@ websearch_to_tsquery('simple', $3) as hit
                     from message m
                     where m.conversation_id = near.id and m.position > near.visible_from and {BEHIND}
                     order by m.position desc limit (select {NEAR} / greatest(count(*), 1) from near)
                 ) m
             ),
             horizon as materialized (
                 select max(time) + interval '1 minute' as time from (
                     select min(sent_at) as time from looked group by conversation_id
                     having count(*) = (select {NEAR} / count(*) from near)
                     union all
                     (select active_at from mine order by active_at desc, id offset {CONVERSATIONS} limit 1)
                 ) beyond
             ),
             found as (
                 select sent_at, conversation_id, position from looked, horizon
                 where hit and (horizon.time is null or sent_at > horizon.time)
                 order by sent_at desc, conversation_id desc, position desc limit $7
             )
             select found.sent_at, found.conversation_id, found.position, horizon.time is null
             from horizon left join found on true
             order by found.sent_at desc, found.conversation_id desc, found.position desc"
        );
        let query = sqlx::query_as(AssertSqlSafe(sql));
        let query = query.bind(self.user.uuid()).bind(self.conversation.map(ConversationId::uuid));
        let rows = self.rest(query).fetch_all(connection).await?;
        let enough = rows.first().is_some_and(|row| row.3);
        let hits: Vec<Hit> = rows.into_iter().filter_map(hit).collect();
        Ok((enough || hits.len() as i64 >= self.limit).then_some(hits))
    }

    /// A page among all messages.
    async fn everywhere(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<Hit>> {
        let sql = format!(
            "with {MINE} select coalesce(array_agg(id), '{{}}'), coalesce(array_agg(visible_from), '{{}}') from mine"
        );
        let (mine, visible): (Vec<Uuid>, Vec<i64>) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(self.user.uuid())
            .bind(self.conversation.map(ConversationId::uuid))
            .fetch_one(&mut *connection)
            .await?;
        // Each message that has the words is looked up among the conversations once, however many
        // these are, and by one process.
        let settings = "set local enable_nestloop = off; set local enable_hashjoin = on;
                        set local max_parallel_workers_per_gather = 0";
        sqlx::raw_sql(settings).execute(&mut *connection).await?;
        let sql = format!(
            "select m.sent_at, m.conversation_id, m.position, true
             from message m join unnest($1::uuid[], $2::bigint[]) as mine (id, visible_from)
                  on mine.id = m.conversation_id
             where m.words @@ websearch_to_tsquery('simple', $3) and m.position > mine.visible_from
                   and {BEHIND}
             order by m.sent_at desc, m.conversation_id desc, m.position desc limit $7"
        );
        let rows = self.rest(sqlx::query_as(AssertSqlSafe(sql)).bind(mine).bind(visible));
        Ok(rows.fetch_all(connection).await?.into_iter().filter_map(hit).collect())
    }

    /// The parameters from `$3` on.
    fn rest<'q>(
        &'q self,
        query: QueryAs<'q, Postgres, Row, PgArguments>,
    ) -> QueryAs<'q, Postgres, Row, PgArguments> {
        query
            .bind(&self.wanted.query)
            .bind(self.after.map(|hit| hit.0.datetime()))
            .bind(self.after.map(|hit| hit.1.uuid()))
            .bind(self.after.map(|hit| bigint(hit.2)))
            .bind(self.limit)
    }
}

fn hit((sent_at, conversation, at, _): Row) -> Option<Hit> {
    Some((Time::of(sent_at?), ConversationId::known(conversation?), position(at?)))
}
