//! **Keeping** the views true: the log into the views, batch by batch. Of several projectors one
//! works on a stream and the others stand by; a restart costs what lies behind the checkpoint.

use std::{collections::HashMap, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{ConversationId, Fold, Position},
    log::{Damaged, Log, Recorded},
    telemetry::METRICS,
    views::{self, Advanced, Checkpoint, Fact},
};

/// How long to wait before trying again what failed.
const PAUSE: Duration = Duration::from_millis(500);
/// The most folds that are kept between batches.
const FOLDS: usize = 20_000;
/// The first half of the advisory lock's key; the second is the stream.
const LOCK: i32 = 0x5645_5242;

/// Why a projection attempt ended.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("another projector works on the stream")]
    NotOurs,
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Projects one stream until told to stop. An outage of either server is waited for; a damaged
/// stream stops the projection for good, loudly.
pub async fn project(log: Log, pool: PgPool, stream: usize, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let worked = tokio::select! {
            worked = work(&log, &pool, stream) => worked,
            () = stop.cancelled() => return,
        };
        match worked {
            Err(Stopped::Damaged(e)) => {
                METRICS.stopped.inc();
                tracing::error!(error = %e, "the projection has stopped: the log is damaged");
                stop.cancelled().await;
            }
            Err(e) => tracing::warn!(error = %e, stream, "the projection is taken up again"),
            Ok(never) => match never {},
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn work(log: &Log, pool: &PgPool, stream: usize) -> Result<std::convert::Infallible, Stopped> {
    let mut turn = pool.acquire().await?.detach();
    take_turn(&mut turn, stream).await?;
    views::create(&mut turn, &views::schema()).await?;
    let mut at = views::resume(pool, log.epoch(), stream).await?;
    let mut follower = log.follow(stream, at);
    let mut folds = HashMap::new();
    loop {
        let batch = follower.batch().await?;
        apply(&mut turn, &mut folds, Checkpoint { stream, position: at }, &batch).await?;
        at = follower.last();
        METRICS.projected.inc_by(batch.len() as u64);
        if folds.len() > FOLDS {
            folds.clear();
        }
    }
}

/// Waits until no other projector works on the stream. The lock goes with the connection.
async fn take_turn(connection: &mut PgConnection, stream: usize) -> sqlx::Result<()> {
    loop {
        let ours: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
            .bind(LOCK)
            .bind(stream as i32)
            .fetch_one(&mut *connection)
            .await?;
        if ours {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// Brings a batch into all views and moves their checkpoints, all or nothing.
async fn apply(
    connection: &mut PgConnection,
    folds: &mut HashMap<ConversationId, Fold>,
    from: Checkpoint,
    batch: &[Recorded],
) -> Result<(), Stopped> {
    let Some(last) = batch.last() else { return Ok(()) };
    let mut transaction = connection.begin().await?;
    load(&mut transaction, folds, batch).await?;
    let facts = facts(folds, batch);
    for projection in &views::ALL {
        (projection.apply)(&mut transaction, &facts).await?;
    }
    match views::advance(&mut transaction, from, last.position).await? {
        Advanced::Yes => Ok(transaction.commit().await?),
        Advanced::NotOurs => Err(Stopped::NotOurs),
    }
}

/// Reads the folds that the batch needs and that are not known yet.
async fn load(
    connection: &mut PgConnection,
    folds: &mut HashMap<ConversationId, Fold>,
    batch: &[Recorded],
) -> sqlx::Result<()> {
    let mut missing: Vec<ConversationId> =
        batch.iter().map(|recorded| recorded.conversation).filter(|id| !folds.contains_key(id)).collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        folds.extend(views::folds(connection, &missing).await?);
    }
    Ok(())
}

/// What counts of a batch, in order.
fn facts(folds: &mut HashMap<ConversationId, Fold>, batch: &[Recorded]) -> Vec<Fact> {
    let mut facts = Vec::with_capacity(batch.len());
    for recorded in batch {
        let Recorded { position, conversation, lane, actor, event, .. } = recorded;
        let fold = folds.entry(*conversation).or_default();
        if event.is_none() {
            METRICS.unknown_events.inc();
        }
        if fold.apply(*position, *actor, *lane, event.as_ref()).is_none() {
            continue;
        }
        facts.push(Fact {
            position: *position,
            conversation: *conversation,
            lane: *lane,
            id: recorded.id,
            actor: *actor,
            time: recorded.time,
            event: event.clone(),
        });
    }
    facts
}

/// How far the views are behind the log, in events, over all streams.
pub async fn lag(log: &Log, progress: &views::Progress) -> Option<u64> {
    let at = progress.positions().await.ok()?;
    let mut lag = 0;
    for stream in 0..log.layout().streams {
        let Position(last) = log.last(stream).await.ok()?;
        lag += last.saturating_sub(at.get(&stream).copied().unwrap_or_default().0);
    }
    Some(lag)
}
