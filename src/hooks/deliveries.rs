//! The delivery log: failures, parked events, and the latest successes.

use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{ConversationId, EventId, Position, ReplayId, Time, WebhookId};

/// The successes that are kept for each endpoint.
const SUCCESSES: i64 = 1_000;
/// The most failures, and the most parked events, that are kept for each endpoint.
const FAILURES: i64 = 10_000;
/// How long successes and failures are kept, in days. Parked events do not expire.
const DAYS: i32 = 7;

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    /// The receiver accepted the event.
    Ok,
    /// The attempt failed.
    Failed,
    /// The attempt failed, and it was the last one.
    Parked,
}

impl DeliveryState {
    /// The name of the state.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Parked => "parked",
        }
    }

    /// The state of this name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Parked].into_iter().find(|state| state.word() == word)
    }
}

/// A finished attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeDelivery {
    /// The event.
    pub event: EventId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its position.
    pub position: Position,
    /// The replay in which it was sent.
    pub replay: Option<ReplayId>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When the attempt began.
    pub at: Time,
    /// How long it took.
    pub took_ms: u32,
    /// The status of the answer.
    pub status: Option<u16>,
    /// Why there is no answer, or why the answer is not a success.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub response: String,
    /// The outcome.
    pub state: DeliveryState,
}

/// An attempt in the delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Its number.
    pub id: i64,
    /// The attempt.
    pub made: MadeDelivery,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    event: Uuid,
    conversation: Uuid,
    position: i64,
    replay: Option<Uuid>,
    attempt: i32,
    at: OffsetDateTime,
    took_ms: i32,
    status: Option<i16>,
    error: Option<String>,
    response: String,
    state: String,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        let made = MadeDelivery {
            event: EventId::known(row.event),
            conversation: ConversationId::known(row.conversation),
            position: Position(row.position.unsigned_abs()),
            replay: row.replay.map(ReplayId::known),
            attempt: row.attempt.unsigned_abs(),
            at: Time::of(row.at),
            took_ms: row.took_ms.unsigned_abs(),
            status: row.status.map(i16::unsigned_abs),
            error: row.error,
            response: row.response,
            state: DeliveryState::named(&row.state).unwrap_or(DeliveryState::Failed),
        };
        Self { id: row.id, made }
    }
}

pub(super) async fn insert(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    made: &[MadeDelivery],
) -> Result<(), sqlx::Error> {
    if made.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into hooks.delivery
             (endpoint, event, conversation, position, replay, attempt, at, took_ms, status, error, response, state)
         select $1, event, conversation, position, replay, attempt, at, took_ms, status, error, response, state
         from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::int[], $7::timestamptz[], $8::int[],
                     $9::smallint[], $10::text[], $11::text[], $12::text[])
              as made (event, conversation, position, replay, attempt, at, took_ms, status, error, response, state)",
    )
    .bind(endpoint.uuid())
    .bind(made.iter().map(|made| made.event.uuid()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.conversation.uuid()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.position.0.cast_signed()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.replay.map(ReplayId::uuid)).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.attempt.cast_signed()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.at.datetime()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.took_ms.cast_signed()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.status.map(u16::cast_signed)).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.error.as_deref()).collect::<Vec<_>>())
    .bind(made.iter().map(|made| &*made.response).collect::<Vec<_>>())
    .bind(made.iter().map(|made| made.state.word()).collect::<Vec<_>>())
    .execute(transaction)
    .await
    .map(drop)
}

/// The latest attempts of an endpoint, older than the attempt `before`.
pub(crate) async fn list(
    pool: &PgPool,
    endpoint: WebhookId,
    state: Option<DeliveryState>,
    conversation: Option<ConversationId>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Delivery>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, event, conversation, position, replay, attempt, at, took_ms, status, error, response, state
         from hooks.delivery
         where endpoint = $1 and ($2::text is null or state = $2) and ($3::uuid is null or conversation = $3)
               and ($4::bigint is null or id < $4)
         order by id desc limit $5",
    )
    .bind(endpoint.uuid())
    .bind(state.map(DeliveryState::word))
    .bind(conversation.map(ConversationId::uuid))
    .bind(before)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Delivery::from).collect())
}

/// The number of parked events of each endpoint that has any.
pub(crate) async fn parked(pool: &PgPool) -> Result<Vec<(WebhookId, i64)>, sqlx::Error> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "select endpoint, count(*) from hooks.delivery where state = 'parked' group by endpoint",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, count)| (WebhookId::known(id), count)).collect())
}

/// Removes attempts that are too old or too many.
pub(crate) async fn prune(pool: &PgPool, endpoint: WebhookId, now: Time) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from hooks.delivery
         where endpoint = $1
               and (state <> 'parked' and at < $2::timestamptz - make_interval(days => $3)
                    or state = 'ok' and id <= (select id from hooks.delivery where endpoint = $1 and state = 'ok'
                                               order by id desc offset $4 limit 1)
                    or state = 'failed' and id <= (select id from hooks.delivery where endpoint = $1
                                                   and state = 'failed' order by id desc offset $5 limit 1)
                    or state = 'parked' and id <= (select id from hooks.delivery where endpoint = $1
                                                   and state = 'parked' order by id desc offset $5 limit 1))",
    )
    .bind(endpoint.uuid())
    .bind(now.datetime())
    .bind(DAYS)
    .bind(SUCCESSES)
    .bind(FAILURES)
    .execute(pool)
    .await
    .map(drop)
}
