//! The progress of the views. A checkpoint moves only if it is where its projector expects it, so two projectors cannot
//! apply the same batch.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Epoch, EventId, Point, Position},
    views::{ALL, Checkpoint, bigint, position},
};

pub(super) const TABLE: &str = "checkpoint";
pub(super) const DEFINITION: &str = include_str!("../../migrations/views/checkpoints.sql");

/// The result of moving a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advanced {
    /// The checkpoint has moved.
    Yes,
    /// The checkpoint was not where this projector expected it: another projector works on the stream.
    NotOurs,
}

/// The checkpoints of a stream's projections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckpointState {
    /// All are at one point of this epoch of the log.
    At(Point),
    /// They are in another epoch of the log.
    AnotherEpoch(Epoch),
    /// They are at different points.
    Apart,
}

/// The point from which to continue in a stream. Creates missing checkpoints at the start of the stream.
pub(crate) async fn resume(
    connection: &mut PgConnection,
    epoch: &Epoch,
    stream: usize,
) -> sqlx::Result<CheckpointState> {
    let names: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    sqlx::query(
        "insert into checkpoint (projection, stream, epoch, position, event)
         select name, $2, $3, 0, $4 from unnest($1::text[]) as name on conflict do nothing",
    )
    .bind(&names)
    .bind(stream as i32)
    .bind(epoch.to_string())
    .bind(Point::START.event.uuid())
    .execute(&mut *connection)
    .await?;
    let found: Vec<(String, i64, Uuid)> = sqlx::query_as(
        "select distinct epoch, position, event from checkpoint where stream = $1 and projection = any($2)",
    )
    .bind(stream as i32)
    .bind(&names)
    .fetch_all(connection)
    .await?;
    Ok(match &found[..] {
        [(of, at, event)] if *of == epoch.to_string() => CheckpointState::At(point(*at, *event)),
        [(of, ..)] => CheckpointState::AnotherEpoch(Epoch(of.clone())),
        _ => CheckpointState::Apart,
    })
}

/// Moves the checkpoints of all projections of a stream, in the same transaction as the rows and *before* them. So a
/// rebuild that locks the checkpoints blocks a projector before it touches a row. In the other order, a projector would
/// write rows into views that are being replaced.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    stream: usize,
    from: Point,
    to: Point,
) -> sqlx::Result<Advanced> {
    let moved = sqlx::query(
        "update checkpoint set position = $4, event = $5 where stream = $1 and position = $2 and event = $3",
    )
    .bind(stream as i32)
    .bind(bigint(from.position))
    .bind(from.event.uuid())
    .bind(bigint(to.position))
    .bind(to.event.uuid())
    .execute(connection)
    .await?;
    let all = moved.rows_affected() == ALL.len() as u64;
    Ok(if all { Advanced::Yes } else { Advanced::NotOurs })
}

/// The epoch of a schema's views, and their point in each stream; empty if there are no views. If the projections of a
/// stream are at different points, the earliest one counts.
pub(crate) async fn points_in(
    connection: &mut PgConnection,
    schema: &str,
) -> sqlx::Result<BTreeMap<usize, (Epoch, Point)>> {
    let sql = format!(
        "select distinct on (stream) stream, epoch, position, event from {schema}.checkpoint order by stream, position"
    );
    let rows: Vec<(i32, String, i64, Uuid)> =
        match sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await {
            Ok(rows) => rows,
            Err(e) if is_not_there(&e) => return Ok(BTreeMap::new()),
            Err(e) => return Err(e),
        };
    let standing = |(stream, of, at, event)| (stream as usize, (Epoch(of), point(at, event)));
    Ok(rows.into_iter().map(standing).collect())
}

/// The position of each view of a schema in each stream: the view, the stream, the position. Empty if there are no
/// views.
pub(crate) async fn positions_in(
    connection: &mut PgConnection,
    schema: &str,
) -> sqlx::Result<Vec<(String, usize, Position)>> {
    let sql = format!("select projection, stream, position from {schema}.checkpoint");
    let rows: Vec<(String, i32, i64)> = match sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await {
        Ok(rows) => rows,
        Err(e) if is_not_there(&e) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let standing = |(view, stream, at)| (view, stream as usize, position(at));
    Ok(rows.into_iter().map(standing).collect())
}

/// Whether a schema or a table is missing, or lacks a column that this version knows.
pub(super) fn is_not_there(e: &sqlx::Error) -> bool {
    let Some(refused) = e.as_database_error() else { return false };
    refused.code().is_some_and(|code| ["3F000", "42P01", "42703"].contains(&&*code))
}

/// Assigns the views of a schema to another epoch of the log, at the same points.
pub(crate) async fn change_epoch(
    connection: &mut PgConnection,
    schema: &str,
    epoch: &Epoch,
) -> sqlx::Result<()> {
    let sql = format!("update {schema}.checkpoint set epoch = $1");
    match sqlx::query(AssertSqlSafe(sql)).bind(epoch.to_string()).execute(connection).await {
        Err(e) if !is_not_there(&e) => Err(e),
        _ => Ok(()),
    }
}

fn point(at: i64, event: Uuid) -> Point {
    Point { position: position(at), event: EventId::known(event) }
}

/// The position of every stream that the views have reached.
pub(super) async fn positions(database: impl PgExecutor<'_>) -> sqlx::Result<HashMap<usize, Position>> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("select stream, min(position) from checkpoint group by stream")
            .fetch_all(database)
            .await?;
    Ok(rows.into_iter().map(|(stream, at)| (stream as usize, position(at))).collect())
}

/// Waits for the views, so that clients can read their own writes. Cheap to clone.
#[derive(Clone)]
pub struct Progress {
    pool: PgPool,
    waiting: Arc<AtomicUsize>,
    latest: Arc<Mutex<Option<Reading>>>,
}

/// The last read of the checkpoints, shared by all waiting readers.
struct Reading {
    at: HashMap<usize, Position>,
    taken: Instant,
}

impl Progress {
    /// The maximum number of waiting readers. Any further reader learns at once whether the views are there.
    const MAX_WAITING: usize = 1_000;
    /// The time between two queries to Postgres, however many readers wait.
    const PAUSE: Duration = Duration::from_millis(5);

    /// Watches the views of a database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, waiting: Arc::default(), latest: Arc::default() }
    }

    /// The position of every stream that the views have reached.
    pub async fn positions(&self) -> sqlx::Result<HashMap<usize, Position>> {
        positions(&self.pool).await
    }

    /// Whether the views of a conversation are parked at or before a position, while other conversations advance.
    pub async fn stands_still(&self, conversation: ConversationId, before: Position) -> sqlx::Result<bool> {
        sqlx::query_scalar("select exists (select from parked where conversation = $1 and position <= $2)")
            .bind(conversation.uuid())
            .bind(bigint(before))
            .fetch_one(&self.pool)
            .await
    }

    /// Waits until the views have reached `wanted`. Returns `false` if they have not within `patience`.
    pub async fn reached(&self, wanted: Checkpoint, patience: Duration) -> sqlx::Result<bool> {
        self.all_reached(&[wanted], patience).await
    }

    /// The same for several streams.
    pub async fn all_reached(&self, wanted: &[Checkpoint], patience: Duration) -> sqlx::Result<bool> {
        let waiting = Waiting::join(&self.waiting);
        let is_crowded = waiting.others >= Self::MAX_WAITING;
        let wait = async {
            while !self.have_reached(wanted).await? {
                if is_crowded {
                    return Ok(false);
                }
                sleep(Self::PAUSE).await;
            }
            Ok(true)
        };
        timeout(patience, wait).await.unwrap_or(Ok(false))
    }

    /// Whether the views have reached `wanted`, by a read that is hardly older than this call. A caller that finds no
    /// such read makes one, and callers that arrive meanwhile share it.
    async fn have_reached(&self, wanted: &[Checkpoint]) -> sqlx::Result<bool> {
        let mut latest = self.latest.lock().await;
        let reading = match latest.take() {
            Some(reading) if reading.taken.elapsed() < Self::PAUSE => reading,
            _ => {
                let taken = Instant::now();
                Reading { at: self.positions().await?, taken }
            }
        };
        let at = &latest.insert(reading).at;
        let is_there =
            |wanted: &Checkpoint| at.get(&wanted.stream).copied().unwrap_or_default() >= wanted.position;
        Ok(wanted.iter().all(is_there))
    }
}

/// The slot of a waiting reader, until it is dropped.
struct Waiting<'a> {
    all: &'a AtomicUsize,
    others: usize,
}

impl<'a> Waiting<'a> {
    fn join(all: &'a AtomicUsize) -> Self {
        Self { all, others: all.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
