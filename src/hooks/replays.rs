//! Replays: runs beside the ordinary delivery, from some point of the log on.

use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position, ReplayId, Time, WebhookId},
    hooks::{
        HookError,
        progress::{self, Held, StreamCursor},
    },
};

/// The most replays of an endpoint at once.
pub(crate) const MAX_REPLAYS: i64 = 4;
/// The most parked events of one replay.
const PARKED: i64 = 1_000;

/// The events of a replay.
#[derive(Debug)]
pub(crate) enum ReplayWanted {
    /// All events of streams, each after one position and up to another.
    Streams(Vec<(usize, Position, Position)>),
    /// The events of a conversation after one position and up to another.
    Conversation(ConversationId, Position, Position),
    /// The events of these deliveries.
    Deliveries(Vec<i64>),
    /// The parked events, the oldest first.
    Parked,
}

/// Why a replay was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReplayed {
    /// There are [`MAX_REPLAYS`].
    #[error("the webhook has {MAX_REPLAYS} replays under way: wait for the end of one")]
    TooMany,
    /// The endpoint or a delivery does not exist.
    #[error(transparent)]
    Hook(#[from] HookError),
}

impl From<sqlx::Error> for NotReplayed {
    fn from(outage: sqlx::Error) -> Self {
        Self::Hook(outage.into())
    }
}

#[derive(FromRow)]
struct Event {
    conversation: Uuid,
    position: i64,
}

/// Begins a replay. The owner of the endpoint learns of it by the endpoint's version. Returns the number of its events,
/// if it is known.
pub(crate) async fn begin(
    pool: &PgPool,
    endpoint: WebhookId,
    id: ReplayId,
    wanted: &ReplayWanted,
    now: Time,
) -> Result<Option<u64>, NotReplayed> {
    let mut transaction = pool.begin().await?;
    // The update locks the endpoint, so two transactions cannot count its replays at the same time.
    let found = sqlx::query("update hooks.endpoint set version = version + 1 where id = $1")
        .bind(endpoint.uuid())
        .execute(&mut *transaction)
        .await?;
    if found.rows_affected() == 0 {
        return Err(HookError::NotFound.into());
    }
    let open: i64 = sqlx::query_scalar("select count(*) from hooks.replay where endpoint = $1")
        .bind(endpoint.uuid())
        .fetch_one(&mut *transaction)
        .await?;
    if open >= MAX_REPLAYS {
        return Err(NotReplayed::TooMany);
    }
    sqlx::query("insert into hooks.replay (id, endpoint, created_at) values ($1, $2, $3)")
        .bind(id.uuid())
        .bind(endpoint.uuid())
        .bind(now.datetime())
        .execute(&mut *transaction)
        .await?;
    let run = Some(id);
    let held = |conversation, only, from, until| Held {
        run,
        conversation,
        only,
        from,
        until,
        attempt: 0,
        parked: 0,
        next_at: now,
    };
    let mut count = None;
    match wanted {
        ReplayWanted::Streams(streams) => {
            let cursor = |&(stream, position, until): &(usize, Position, Position)| StreamCursor {
                run,
                stream,
                position,
                until: Some(until),
            };
            let cursors: Vec<_> = streams.iter().map(cursor).collect();
            progress::move_cursors(&mut transaction, endpoint, &cursors).await?;
        }
        ReplayWanted::Conversation(conversation, after, until) => {
            let whole = held(*conversation, Position::START, Position(after.0 + 1), Some(*until));
            progress::hold(&mut transaction, endpoint, &[whole]).await?;
        }
        ReplayWanted::Deliveries(_) | ReplayWanted::Parked => {
            let events = events(&mut transaction, endpoint, wanted).await?;
            count = Some(events.len() as u64);
            let one = |Event { conversation, position }: Event| {
                let at = Position(position.unsigned_abs());
                held(ConversationId::known(conversation), at, at, Some(at))
            };
            let events: Vec<_> = events.into_iter().map(one).collect();
            progress::hold(&mut transaction, endpoint, &events).await?;
        }
    }
    transaction.commit().await?;
    Ok(count)
}

/// The events of deliveries. Parked events are no longer parked: they are sent again, and are parked again if that
/// fails.
async fn events(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    wanted: &ReplayWanted,
) -> Result<Vec<Event>, NotReplayed> {
    let ids: Vec<i64> =
        match wanted {
            ReplayWanted::Deliveries(ids) => ids.clone(),
            _ => sqlx::query_scalar(
                "select id from hooks.delivery where endpoint = $1 and state = 'parked' order by id limit $2",
            )
            .bind(endpoint.uuid())
            .bind(PARKED)
            .fetch_all(&mut *transaction)
            .await?,
        };
    let events: Vec<Event> = sqlx::query_as(
        "select distinct conversation, position from hooks.delivery where endpoint = $1 and id = any($2)",
    )
    .bind(endpoint.uuid())
    .bind(&ids)
    .fetch_all(&mut *transaction)
    .await?;
    if events.is_empty() && !ids.is_empty() {
        return Err(HookError::NotFound.into());
    }
    sqlx::query(
        "update hooks.delivery set state = 'failed' where endpoint = $1 and id = any($2) and state = 'parked'",
    )
    .bind(endpoint.uuid())
    .bind(&ids)
    .execute(transaction)
    .await?;
    Ok(events)
}
