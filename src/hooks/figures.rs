//! The figures that operators see about the deliveries of endpoints.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::{Position, WebhookId};

/// The figures of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Events that were given up after all retries.
    pub parked: u64,
    /// Conversations that are waiting for a retry.
    pub held: u64,
    /// Replays in progress.
    pub replays: u64,
    /// How far each stream was sent.
    pub cursors: Vec<(usize, Position)>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    parked: i64,
    held: i64,
    replays: i64,
    streams: Vec<i32>,
    positions: Vec<i64>,
}

/// The figures of all endpoints together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub(crate) struct Summary {
    /// All endpoints.
    pub webhooks: i64,
    /// Endpoints that were disabled because their receivers failed.
    pub failed: i64,
    /// Events that are parked.
    pub parked: i64,
}

/// The figures of all endpoints together; `None` if the tables are missing.
pub(crate) async fn summary(connection: &mut PgConnection) -> Result<Option<Summary>, sqlx::Error> {
    let is_there: bool = sqlx::query_scalar(
        "select to_regclass('hooks.endpoint') is not null and to_regclass('hooks.delivery') is not null",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !is_there {
        return Ok(None);
    }
    sqlx::query_as(
        "select count(*) as webhooks, count(*) filter (where disabled_reason <> 'operator') as failed,
                (select count(*) from hooks.delivery where state = 'parked') as parked
         from hooks.endpoint",
    )
    .fetch_one(connection)
    .await
    .map(Some)
}

/// The figures of some endpoints.
pub(crate) async fn figures(
    pool: &PgPool,
    ids: &[WebhookId],
) -> Result<HashMap<WebhookId, Figures>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select endpoint.id,
                (select count(*) from hooks.delivery where delivery.endpoint = endpoint.id and state = 'parked') as parked,
                (select count(*) from hooks.held where held.endpoint = endpoint.id and run = $2 and attempt > 0) as held,
                (select count(*) from hooks.replay where replay.endpoint = endpoint.id) as replays,
                array(select stream from hooks.cursor where cursor.endpoint = endpoint.id and run = $2 order by stream)
                    as streams,
                array(select position from hooks.cursor where cursor.endpoint = endpoint.id and run = $2 order by stream)
                    as positions
         from hooks.endpoint where id = any($1)",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(Uuid::nil())
    .fetch_all(pool)
    .await?;
    let figures = |row: Row| {
        let streams = row.streams.into_iter().map(|stream| stream.unsigned_abs() as usize);
        let positions = row.positions.into_iter().map(|position| Position(position.unsigned_abs()));
        let figures = Figures {
            parked: row.parked.unsigned_abs(),
            held: row.held.unsigned_abs(),
            replays: row.replays.unsigned_abs(),
            cursors: streams.zip(positions).collect(),
        };
        (WebhookId::known(row.id), figures)
    };
    Ok(rows.into_iter().map(figures).collect())
}
