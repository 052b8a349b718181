//! Projecting one stream into the views.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Position,
    log::{Log, Unavailable},
    projector::{
        apply::Projecting,
        kinship::{Kinship, kinship},
        reader::{Reader, Size},
        stopped::Stopped,
        turn::{ANSWER, in_time, take_turn},
    },
    telemetry::{METRICS, PROGRESS, traces},
    views,
};

/// The pause before a retry.
const PAUSE: Duration = Duration::from_millis(500);
/// The minimum time between the starts of two batches. Under load, events share a transaction, and a single event does
/// not wait.
const SHARED: Duration = Duration::from_millis(10);
/// The interval at which a projector checks that its views are still there. The same query shows Postgres that the
/// holder of the turn is alive (`turn.rs`). Every stream sends this query, so with a shorter interval it would cost an
/// idle installation more than everything else.
const LOOK: Duration = Duration::from_secs(5);
/// How long Postgres may take for one step of a batch. Postgres itself cancels a statement after 10 s
/// (`app/database.rs`).
const STEP: Duration = Duration::from_secs(15);
/// A projector that has been without the log for this long gives up its turn, because another projector may reach the
/// log.
const NO_LOG: Duration = Duration::from_secs(10);

/// Projects one stream into the views of a schema, which is the search path of the pool, until `stop` is cancelled. The
/// projection waits out an outage of either server, and rebuilds lost views. A damaged stream or views of another log
/// stop it, with an error in the logs, until an operator has fixed the cause.
pub async fn project(log: Log, pool: PgPool, schema: String, stream: usize, stop: CancellationToken) {
    let mut told: Option<Told> = None;
    while !stop.is_cancelled() {
        let worked = tokio::select! {
            worked = work(&log, &pool, &schema, stream, &mut told) => worked,
            () = stop.cancelled() => return,
        };
        match worked {
            Err(e) if e.passes() => tracing::warn!(error = %e, stream, "the projection failed; retrying"),
            Err(e) => told = Some(Told::again(told, &e, stream)),
            Ok(never) => match never {},
        }
        let pause = if told.is_some() { LOOK } else { PAUSE };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A projection that has stopped, with the reason that was logged.
struct Told(String);

impl Told {
    fn again(before: Option<Self>, why: &Stopped, stream: usize) -> Self {
        let why = why.to_string();
        if before.as_ref().is_none_or(|told| told.0 != why) {
            tracing::error!(error = %why, stream, "the projection has stopped");
        }
        METRICS.stopped.inc();
        Self(why)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        METRICS.stopped.dec();
    }
}

async fn work(
    log: &Log,
    pool: &PgPool,
    schema: &str,
    stream: usize,
    told: &mut Option<Told>,
) -> Result<std::convert::Infallible, Stopped> {
    let mut turn = take_turn(log, pool, schema, stream).await?;
    in_time(ANSWER, views::plan_once(&mut turn)).await?;
    // The comparison comes first, because incomplete views are rebuilt below, and views of another log may be the only
    // copy of its content.
    if let Kinship::AnotherLog(foreign) = in_time(STEP, kinship(log, &mut turn, schema)).await? {
        return Err(Stopped::AnotherLog(foreign));
    }
    in_time(STEP, views::create(&mut turn, schema)).await?;
    let all = views::ALL.iter().collect();
    let mut projecting = Projecting::resume(&mut turn, log, stream, all, STEP).await?;
    projecting.take_up_parked(&mut turn, log).await?;
    let mut reader = Reader::start(log.follow(stream, projecting.at().position), Size::Ready);
    let told_position = PROGRESS.projector(log.stream_name(stream));
    told_position.is_at(projecting.at().position.0);
    *told = None;
    let mut connected = Instant::now();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            batch = reader.batch(Position::MAX) => {
                let (batch, begun) = (batch?, Instant::now());
                let (count, behind) = (batch.len() as u64, projecting.at().position.0);
                projecting.apply(&mut turn, batch).await?;
                METRICS.projected.inc_by(count);
                traces::processed("project", stream, behind, projecting.at().position.0);
                told_position.is_at(projecting.at().position.0);
                sleep_until(begun + SHARED).await;
            }
            _ = look.tick() => {
                if !in_time(ANSWER, views::stands(&mut turn, schema, stream, projecting.at())).await? {
                    return Err(Stopped::NotOurs);
                }
                if log.is_connected() {
                    connected = Instant::now();
                } else if connected.elapsed() > NO_LOG {
                    return Err(Unavailable::because("not connected, but another projector may be").into());
                }
            }
        }
    }
}
