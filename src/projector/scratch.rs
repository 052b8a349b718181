//! A second set of views beside the live one, built from the log while the live one serves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::{try_join, try_join_all},
    stream,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, postgres::PgConnectOptions,
};
use tokio::sync::mpsc;

use crate::{
    domain::{Epoch, Point, Position, Recorded},
    log::{Damaged, Log, Unavailable},
    projector::{
        AnotherLog, NotCompared,
        apply::Projecting,
        reader::{Reader, Size},
        stopped::Stopped,
        turn::try_lock,
    },
    views::{self, Projection},
};

/// The maximum number of streams, or of indexes, that are built concurrently.
const AT_ONCE: usize = 4;
/// The number of parts of a stream that are built in parallel: one is prepared while Postgres works on the other.
const LANES: usize = 2;
/// The maximum number of events that may be left for the time in which the live projectors are blocked.
const NEARLY: u64 = 1_000;
/// The maximum number of times a build catches up with new events before it gives up.
const ROUNDS: usize = 100;
/// Live views with a greater lag behind the log, in events, count as far behind.
const FAR_BEHIND: u64 = 10_000;

/// How long Postgres may take for one step of a batch. It may be long, because an operator watches and no reader waits.
const STEP: Duration = Duration::from_secs(600);

/// How far to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// To the position of the live views.
    Live,
    /// To the position of the live views, or to the end of the log if the live views are far behind it or empty.
    Newest,
    /// To the end of the log: the position of the live views means nothing in this log.
    End,
}

/// The progress of a build, in events, for the operator.
#[derive(Debug, Default)]
pub struct Work {
    done: AtomicU64,
    total: AtomicU64,
}

impl Work {
    /// The number of events built, and the total as far as it is known.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Why views were not built or compared. The live views are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum NotBuilt {
    /// Another build is running. Only one can run at a time.
    #[error("another `verbatim rebuild` or `verbatim verify` is running: wait until that command has ended")]
    Busy,
    /// The live views are missing, or were recreated meanwhile.
    #[error("the live views are incomplete or were recreated meanwhile: run `verbatim rebuild all`")]
    BegunAnew,
    /// The live views have an event that the log lacks.
    #[error(
        "{0}: these views belong to another log, and may be the only copy of what this log lacks. Restore the log that \
         they belong to (deploy/DISASTERS.md), or discard that data with `verbatim rebuild all --force`"
    )]
    AnotherLog(AnotherLog),
    /// The live views are of another epoch of the log.
    #[error("the views belong to epoch {0}, not to that of this log: run `verbatim rebuild all`")]
    AnotherEpoch(Epoch),
    /// The live views advance too fast, or another session locks them.
    #[error("the live views never paused: run the command again when there is less traffic")]
    NoTurn,
    /// Postgres failed.
    #[error("database error: {0}. Nothing was changed: run the command again")]
    Database(#[from] sqlx::Error),
    /// The log does not answer.
    #[error("{0}. Nothing was changed: run the command again")]
    Log(#[from] Unavailable),
    /// The log has a hole.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl From<NotCompared> for NotBuilt {
    fn from(outage: NotCompared) -> Self {
        match outage {
            NotCompared::Database(e) => e.into(),
            NotCompared::Log(e) => e.into(),
        }
    }
}

impl From<Stopped> for NotBuilt {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Database(e) => e.into(),
            Stopped::Log(e) => e.into(),
            Stopped::NotOurs => Self::Busy,
            Stopped::AnotherLog(foreign) => Self::AnotherLog(foreign),
            Stopped::AnotherEpoch(epoch) => Self::AnotherEpoch(epoch),
            Stopped::Apart => Self::BegunAnew,
            Stopped::Damaged(e) => e.into(),
        }
    }
}

/// The second set of views. If the process dies, the next build removes what is left of it.
pub(super) struct Scratch<'a> {
    pub(super) log: &'a Log,
    pub(super) live: &'a str,
    pub(super) schema: String,
    pub(super) projections: Vec<&'static Projection>,
    work: &'a Work,
    options: Arc<PgConnectOptions>,
    /// The connection that holds the lock of the build, so that only one runs at a time.
    pub(super) guard: PgConnection,
}

impl<'a> Scratch<'a> {
    /// Begins a set, after removing what is left of earlier builds.
    pub(super) async fn begin(
        log: &'a Log,
        pool: &PgPool,
        live: &'a str,
        projections: Vec<&'static Projection>,
        work: &'a Work,
    ) -> Result<Self, NotBuilt> {
        let options = pool.connect_options();
        let schema = format!("{live}_rebuild");
        let mut guard = connect(&options, &schema).await?;
        if !try_lock(&mut guard, &format!("verbatim rebuild of {live}"), 0).await? {
            return Err(NotBuilt::Busy);
        }
        let mut scratch = Self { log, live, schema, projections, work, options, guard };
        for schema in [&scratch.schema, &scratch.old()] {
            views::discard(&mut scratch.guard, schema).await?;
        }
        Ok(scratch)
    }

    /// Builds a complete set up to the aim: first the rows, then the indexes that only queries use, then the events
    /// that arrived meanwhile. If the indexes came first, inserting every row would cost more.
    pub(super) async fn fill(&mut self, aim: Aim) -> Result<(), NotBuilt> {
        views::begin(&mut self.guard, &self.schema).await?;
        self.catch_up(aim).await?;
        self.index().await?;
        self.catch_up(aim).await?;
        Ok(views::settle(&mut self.guard).await?)
    }

    async fn index(&mut self) -> sqlx::Result<()> {
        let made: Vec<_> = views::indexes().map(|index| self.make_index(index)).collect();
        stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        views::whole(&mut self.guard, &self.schema).await
    }

    async fn make_index(&self, index: &'static str) -> sqlx::Result<()> {
        let mut connection = self.connect().await?;
        views::make_index(&mut connection, index).await?;
        connection.close().await
    }

    /// The name of the schema for replaced views.
    pub(super) fn old(&self) -> String {
        format!("{}_old", self.live)
    }

    /// A connection with this set as its search path.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        connect(&self.options, &self.schema).await
    }

    /// Builds until few events are left. More than one round may be needed, because the live views advance meanwhile.
    pub(super) async fn catch_up(&mut self, aim: Aim) -> Result<(), NotBuilt> {
        for round in 0..ROUNDS {
            let at = positions(views::points_in(&mut self.guard, &self.schema).await?);
            let goals = self.goals(aim).await?;
            let left = left(&at, &goals);
            self.work.total.store(self.work.progress().0 + left, Ordering::Relaxed);
            if left == 0 || (round > 0 && left <= NEARLY) {
                return Ok(());
            }
            let built: Vec<_> =
                goals.into_iter().map(|(stream, goal)| self.build_in_lanes(stream, goal)).collect();
            stream::iter(built).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Err(NotBuilt::NoTurn)
    }

    /// The position to reach in each stream. The live views are read *before* the log, so they cannot be ahead of it.
    /// In the other order, views that advance in between would seem to belong to another log.
    async fn goals(&mut self, aim: Aim) -> Result<BTreeMap<usize, Position>, NotBuilt> {
        let live = views::points_in(&mut self.guard, self.live).await?;
        let mut goals = BTreeMap::new();
        for stream in 0..self.log.layout().streams {
            let last = self.log.last(stream).await?;
            let at = live.get(&stream).map_or(Point::START, |(_, point)| *point);
            let goal = match aim {
                Aim::End => last,
                Aim::Newest if at == Point::START || at.position.0 + FAR_BEHIND < last.0 => last,
                Aim::Live | Aim::Newest if at.position <= last => at.position,
                Aim::Live | Aim::Newest => {
                    return Err(NotBuilt::AnotherLog(AnotherLog::ahead(stream, at, last)));
                }
            };
            goals.insert(stream, goal);
        }
        Ok(goals)
    }

    /// Builds a stream up to exactly a position, in lanes. Each lane has its own conversations and its own
    /// transactions, so the set is unusable after one of the lanes has failed.
    async fn build_in_lanes(&self, stream: usize, until: Position) -> Result<(), NotBuilt> {
        let mut connection = self.connect().await?;
        let mut whole =
            Projecting::resume(&mut connection, self.log, stream, self.projections.clone(), STEP).await?;
        let mut at = whole.at();
        if at.position >= until {
            return Ok(connection.close().await?);
        }
        let (lanes, parts): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(1)).unzip();
        let deal = async move {
            let mut reader = Reader::start(self.log.follow(stream, at.position), Size::Full);
            while at.position < until {
                let batch = reader.batch(until).await?;
                at = batch.last().map_or(at, Recorded::point);
                for (lane, part) in lanes.iter().zip(dealt(batch)) {
                    lane.send(part).await.map_err(Unavailable::because)?;
                }
            }
            drop(lanes);
            Ok(at)
        };
        let lanes = try_join_all(parts.into_iter().map(|parts| self.lane(stream, parts)));
        let (end, _) = try_join(deal, lanes).await?;
        whole.move_to(&mut connection, end).await?;
        Ok(connection.close().await?)
    }

    async fn lane(&self, stream: usize, mut parts: mpsc::Receiver<Vec<Recorded>>) -> Result<(), NotBuilt> {
        let mut connection = self.connect().await?;
        let mut projecting =
            Projecting::resume(&mut connection, self.log, stream, self.projections.clone(), STEP).await?;
        while let Some(part) = parts.recv().await {
            let count = part.len() as u64;
            projecting.apply_part(&mut connection, part).await?;
            self.work.done.fetch_add(count, Ordering::Relaxed);
        }
        Ok(connection.close().await?)
    }

    /// Builds a stream up to exactly a position, unless it is already there or further, and returns its position.
    pub(super) async fn build(
        &self,
        connection: &mut PgConnection,
        stream: usize,
        until: Position,
    ) -> Result<Position, NotBuilt> {
        let mut projecting =
            Projecting::resume(connection, self.log, stream, self.projections.clone(), STEP).await?;
        let from = projecting.at().position;
        if from >= until {
            return Ok(from);
        }
        let mut reader = Reader::start(self.log.follow(stream, from), Size::Full);
        while projecting.at().position < until {
            let batch = reader.batch(until).await?;
            let count = batch.len() as u64;
            projecting.apply(connection, batch).await?;
            self.work.done.fetch_add(count, Ordering::Relaxed);
        }
        Ok(until)
    }

    /// Drops the set, whether it was built or not. If that fails, the next build drops it.
    pub(super) async fn end(self) {
        let Self { mut guard, schema, .. } = self;
        let ended = match views::discard(&mut guard, &schema).await {
            Ok(()) => guard.close().await,
            failed => failed,
        };
        if let Err(e) = ended {
            tracing::warn!(error = %e, "could not drop the schema {schema}: the next rebuild or verify drops it");
        }
    }
}

/// Divides a batch into lanes. The last byte of an id selects the stream, so the byte before it selects the lane.
fn dealt(batch: Vec<Recorded>) -> [Vec<Recorded>; LANES] {
    let mut parts = [const { Vec::new() }; LANES];
    for recorded in batch {
        parts[usize::from(recorded.conversation.uuid().as_bytes()[14]) % LANES].push(recorded);
    }
    parts
}

/// The positions of points, whatever their epoch.
pub(super) fn positions(points: BTreeMap<usize, (Epoch, Point)>) -> BTreeMap<usize, Position> {
    points.into_iter().map(|(stream, (_, point))| (stream, point.position)).collect()
}

fn left(at: &BTreeMap<usize, Position>, goals: &BTreeMap<usize, Position>) -> u64 {
    let left = |(stream, goal): (&usize, &Position)| {
        goal.0.saturating_sub(at.get(stream).copied().unwrap_or_default().0)
    };
    goals.iter().map(left).sum()
}

/// A connection for long work. Commits are asynchronous, so a crash of Postgres may lose the work until it is made
/// durable. Postgres cancels a statement within a second after its client is gone, and slow statements are not logged.
async fn connect(options: &PgConnectOptions, schema: &str) -> sqlx::Result<PgConnection> {
    let options = options.clone().disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    let settings = format!(
        "{} set statement_timeout = 0; set lock_timeout = '10s';
         set idle_in_transaction_session_timeout = 0; set synchronous_commit = off;
         set client_connection_check_interval = '1s'",
        views::session(schema)
    );
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut connection).await?;
    Ok(connection)
}
