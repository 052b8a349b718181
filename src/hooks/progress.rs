//! How far the events of an endpoint have been sent. Its owner writes this at most once a second, in one transaction
//! with the deliveries of that second.

use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position, ReplayId, Time, WebhookId},
    hooks::deliveries::{self, MadeDelivery},
};

/// How far a stream was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamCursor {
    /// The replay; `None` for the ordinary delivery.
    pub run: Option<ReplayId>,
    /// The stream.
    pub stream: usize,
    /// All events up to here were taken, were parked, or are held.
    pub position: Position,
    /// Where a replay ends.
    pub until: Option<Position>,
}

/// A conversation, or one event of it, that lags behind the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// The replay; `None` for the ordinary delivery.
    pub run: Option<ReplayId>,
    /// The conversation.
    pub conversation: ConversationId,
    /// The only wanted event; [`Position::START`] for all events.
    pub only: Position,
    /// The position of the next event, or a position before it.
    pub from: Position,
    /// Where a replay of the conversation ends.
    pub until: Option<Position>,
    /// How many attempts of the next event have failed.
    pub attempt: u32,
    /// How many events were parked since one was last taken.
    pub parked: u32,
    /// When the next attempt is due.
    pub next_at: Time,
}

/// Everything that the owner of an endpoint has to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndpointProgress {
    /// The cursors of all runs.
    pub cursors: Vec<StreamCursor>,
    /// What is held in all runs.
    pub held: Vec<Held>,
    /// The replays in progress.
    pub replays: Vec<ReplayId>,
}

/// What has changed since the owner last wrote.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Cursors that have moved.
    pub cursors: Vec<StreamCursor>,
    /// What is held, new or changed.
    pub held: Vec<Held>,
    /// What is no longer held: run, conversation and event.
    pub released: Vec<(Option<ReplayId>, ConversationId, Position)>,
    /// Replays that have ended.
    pub ended: Vec<ReplayId>,
    /// Attempts.
    pub deliveries: Vec<MadeDelivery>,
    /// Since when no attempt has succeeded, and how many have failed since.
    pub failing: (Option<Time>, u32),
}

/// Whether the changes were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    /// They were written.
    Yes,
    /// Another node owns the endpoint, or it is gone.
    NotOurs,
}

fn id_of(run: Option<ReplayId>) -> Uuid {
    run.map_or(Uuid::nil(), ReplayId::uuid)
}

fn run_of(id: Uuid) -> Option<ReplayId> {
    (!id.is_nil()).then_some(ReplayId::known(id))
}

fn position(stored: i64) -> Position {
    Position(stored.unsigned_abs())
}

#[derive(FromRow)]
struct CursorRow {
    run: Uuid,
    stream: i32,
    position: i64,
    until: Option<i64>,
}

#[derive(FromRow)]
struct HeldRow {
    run: Uuid,
    conversation: Uuid,
    only_at: i64,
    from_position: i64,
    until: Option<i64>,
    attempt: i32,
    parked: i32,
    next_at: OffsetDateTime,
}

/// The progress of an endpoint, with everything that it holds.
pub(crate) async fn load(pool: &PgPool, endpoint: WebhookId) -> Result<EndpointProgress, sqlx::Error> {
    let cursors: Vec<CursorRow> =
        sqlx::query_as("select run, stream, position, until from hooks.cursor where endpoint = $1")
            .bind(endpoint.uuid())
            .fetch_all(pool)
            .await?;
    let held: Vec<HeldRow> = sqlx::query_as(
        "select run, conversation, only_at, from_position, until, attempt, parked, next_at from hooks.held
         where endpoint = $1",
    )
    .bind(endpoint.uuid())
    .fetch_all(pool)
    .await?;
    let replays: Vec<Uuid> =
        sqlx::query_scalar("select id from hooks.replay where endpoint = $1 order by id")
            .bind(endpoint.uuid())
            .fetch_all(pool)
            .await?;
    let cursor = |row: CursorRow| StreamCursor {
        run: run_of(row.run),
        stream: row.stream.unsigned_abs() as usize,
        position: position(row.position),
        until: row.until.map(position),
    };
    let held_of = |row: HeldRow| Held {
        run: run_of(row.run),
        conversation: ConversationId::known(row.conversation),
        only: position(row.only_at),
        from: position(row.from_position),
        until: row.until.map(position),
        attempt: row.attempt.unsigned_abs(),
        parked: row.parked.unsigned_abs(),
        next_at: Time::of(row.next_at),
    };
    Ok(EndpointProgress {
        cursors: cursors.into_iter().map(cursor).collect(),
        held: held.into_iter().map(held_of).collect(),
        replays: replays.into_iter().map(ReplayId::known).collect(),
    })
}

/// Writes the changes of an endpoint, if the caller is still its owner by this fence.
pub(crate) async fn save(
    pool: &PgPool,
    endpoint: WebhookId,
    fence: i64,
    changes: &Changes,
) -> Result<Saved, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // The row stays locked until the commit, so no other node can become the owner before that.
    let (failing_since, failures) = changes.failing;
    let owned = sqlx::query(
        "update hooks.endpoint set failing_since = $3, failures = $4 where id = $1 and fence = $2",
    )
    .bind(endpoint.uuid())
    .bind(fence)
    .bind(failing_since.map(Time::datetime))
    .bind(failures.cast_signed())
    .execute(&mut *transaction)
    .await?;
    if owned.rows_affected() == 0 {
        return Ok(Saved::NotOurs);
    }
    hold(&mut transaction, endpoint, &changes.held).await?;
    release(&mut transaction, endpoint, &changes.released).await?;
    move_cursors(&mut transaction, endpoint, &changes.cursors).await?;
    end(&mut transaction, endpoint, &changes.ended).await?;
    deliveries::insert(&mut transaction, endpoint, &changes.deliveries).await?;
    transaction.commit().await?;
    Ok(Saved::Yes)
}

pub(super) async fn hold(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    held: &[Held],
) -> Result<(), sqlx::Error> {
    if held.is_empty() {
        return Ok(());
    }
    let number = |position: Position| position.0.cast_signed();
    sqlx::query(
        "insert into hooks.held (endpoint, run, conversation, only_at, from_position, until, attempt, parked, next_at)
         select $1, run, conversation, only_at, from_position, until, attempt, parked, next_at
         from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::int[],
                     $9::timestamptz[])
              as held (run, conversation, only_at, from_position, until, attempt, parked, next_at)
         on conflict (endpoint, run, conversation, only_at) do update
         set from_position = excluded.from_position, until = excluded.until, attempt = excluded.attempt,
             parked = excluded.parked, next_at = excluded.next_at",
    )
    .bind(endpoint.uuid())
    .bind(held.iter().map(|held| id_of(held.run)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.conversation.uuid()).collect::<Vec<_>>())
    .bind(held.iter().map(|held| number(held.only)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| number(held.from)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.until.map(number)).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.attempt.cast_signed()).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.parked.cast_signed()).collect::<Vec<_>>())
    .bind(held.iter().map(|held| held.next_at.datetime()).collect::<Vec<_>>())
    .execute(transaction)
    .await
    .map(drop)
}

async fn release(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    released: &[(Option<ReplayId>, ConversationId, Position)],
) -> Result<(), sqlx::Error> {
    if released.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from hooks.held using unnest($2::uuid[], $3::uuid[], $4::bigint[]) as ended (run, conversation, only_at)
         where held.endpoint = $1 and held.run = ended.run and held.conversation = ended.conversation
               and held.only_at = ended.only_at",
    )
    .bind(endpoint.uuid())
    .bind(released.iter().map(|(run, ..)| id_of(*run)).collect::<Vec<_>>())
    .bind(released.iter().map(|(_, conversation, _)| conversation.uuid()).collect::<Vec<_>>())
    .bind(released.iter().map(|(.., only)| only.0.cast_signed()).collect::<Vec<_>>())
    .execute(transaction)
    .await
    .map(drop)
}

pub(super) async fn move_cursors(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    cursors: &[StreamCursor],
) -> Result<(), sqlx::Error> {
    if cursors.is_empty() {
        return Ok(());
    }
    let number = |position: Position| position.0.cast_signed();
    sqlx::query(
        "insert into hooks.cursor (endpoint, run, stream, position, until)
         select $1, run, stream, position, until
         from unnest($2::uuid[], $3::int[], $4::bigint[], $5::bigint[]) as cursor (run, stream, position, until)
         on conflict (endpoint, run, stream) do update set position = excluded.position",
    )
    .bind(endpoint.uuid())
    .bind(cursors.iter().map(|cursor| id_of(cursor.run)).collect::<Vec<_>>())
    .bind(cursors.iter().map(|cursor| cursor.stream as i32).collect::<Vec<_>>())
    .bind(cursors.iter().map(|cursor| number(cursor.position)).collect::<Vec<_>>())
    .bind(cursors.iter().map(|cursor| cursor.until.map(number)).collect::<Vec<_>>())
    .execute(transaction)
    .await
    .map(drop)
}

async fn end(
    transaction: &mut PgConnection,
    endpoint: WebhookId,
    ended: &[ReplayId],
) -> Result<(), sqlx::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let runs: Vec<Uuid> = ended.iter().map(|id| id.uuid()).collect();
    for delete in [
        "delete from hooks.cursor where endpoint = $1 and run = any($2)",
        "delete from hooks.held where endpoint = $1 and run = any($2)",
        "delete from hooks.replay where endpoint = $1 and id = any($2)",
    ] {
        sqlx::query(delete).bind(endpoint.uuid()).bind(&runs).execute(&mut *transaction).await?;
    }
    Ok(())
}
