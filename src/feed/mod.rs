//! What a user has **missed**: the events of their conversations from a cursor on, in order, each
//! with the position of the one before it. One path for three seconds and three weeks, for sockets
//! and for REST.
//!
//! Who may see an event is decided by the roster as it was at that event, with the same fold that
//! commands, hub and views use. The views only tell which conversations to look at.
//!
//! The same log, read again, tells how a conversation was at a point ([`Past`]).

mod cursor;
mod folds;
mod lately;
mod missed;
mod past;
mod points;
mod turns;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::{sync::Semaphore, time::timeout};

pub use cursor::{Cursors, Reset};
pub use lately::Verdict;
pub use missed::{Missed, Page, Shown};
pub use past::{Past, PastError};
pub use turns::Turn;

use crate::{
    domain::{Point, Position, UserId},
    log::{Damaged, Log, NotRead, Recorded, Unavailable},
    views::{self, Checkpoint, Memberships, Progress},
};

/// How long the views may lag behind.
const VIEWS: Duration = Duration::from_secs(5);

/// All that catching up needs. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    log: Log,
    pool: PgPool,
    progress: Progress,
    cursors: Arc<Cursors>,
    remembered: Arc<Remembered>,
    turns: turns::Turns,
    looks_back: Arc<Semaphore>,
}

/// What spares the servers being asked.
struct Remembered {
    lately: lately::Lately,
    folds: folds::Folds,
    points: points::Points,
}

/// Why it cannot be told now what was missed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Behind {
    /// Too many catch up at once.
    #[error("too many catch up at once")]
    Crowded,
    /// The views lag behind the log.
    #[error("the views lag behind the log")]
    Lagging,
    /// Something is missing in the log: it cannot be told any more.
    #[error(transparent)]
    Damaged(Damaged),
    /// A server does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<NotRead> for Behind {
    fn from(e: NotRead) -> Self {
        match e {
            NotRead::Damaged(damaged) => Self::Damaged(damaged),
            NotRead::Unavailable(e) => Self::Unavailable(e),
        }
    }
}

impl From<sqlx::Error> for Behind {
    fn from(e: sqlx::Error) -> Self {
        Self::Unavailable(Unavailable::because(e))
    }
}

impl Feed {
    /// Feeds from a log and its views.
    pub fn new(log: Log, pool: PgPool, progress: Progress, secret: &[u8; 32]) -> Self {
        let cursors = Arc::new(Cursors::new(secret, log.epoch(), log.layout().streams));
        let looks_back = Arc::new(Semaphore::new(past::AT_ONCE));
        let lately = lately::Lately::new(log.layout().streams);
        let points = points::Points::default();
        let remembered = Arc::new(Remembered { lately, folds: folds::Folds::default(), points });
        Self { log, pool, progress, cursors, remembered, turns: turns::Turns::default(), looks_back }
    }

    /// Hears what this node has followed, so that it can be told again without asking the log.
    pub fn hear(&self, stream: usize, events: impl Iterator<Item = (Recorded, Verdict)>) {
        self.remembered.lately.extend(stream, events);
    }

    /// The cursor of a user who has been given everything up to these points.
    pub fn cursor(&self, user: UserId, points: &[Point]) -> String {
        self.cursors.write(user, points)
    }

    /// Waits for a turn: a storm of reconnects does not take the live users down.
    pub async fn turn(&self) -> Result<Turn, Behind> {
        self.turns.take().await.ok_or(Behind::Crowded)
    }

    /// What a user is in now and what they have left since, as of positions that the log has passed.
    pub async fn memberships(
        &self,
        user: UserId,
        since: &[Position],
        upto: &[Position],
    ) -> Result<Memberships, Behind> {
        let wanted: Vec<Checkpoint> = upto
            .iter()
            .enumerate()
            .map(|(stream, position)| Checkpoint { stream, position: *position })
            .collect();
        let least = since.iter().min().copied().unwrap_or_default();
        for _ in 0..2 {
            let told = timeout(VIEWS, views::memberships(&self.pool, user, least)).await;
            let memberships = told.map_err(|_| Unavailable::because("the views do not answer in time"))??;
            if memberships.reach(&wanted) {
                return Ok(memberships);
            }
            if !self.progress.all_reached(&wanted, VIEWS).await? {
                break;
            }
        }
        Err(Behind::Lagging)
    }

    /// What a user has missed between two points. Both have to lie behind this node.
    pub async fn missed(&self, user: UserId, from: Vec<Point>, to: Vec<Point>) -> Result<Missed, Behind> {
        let memberships = self.memberships(user, &Point::positions(&from), &Point::positions(&to)).await?;
        Ok(self.missed_in(user, from, to, memberships))
    }

    /// The same for somebody whose memberships as of these points are known.
    pub fn missed_in(
        &self,
        user: UserId,
        from: Vec<Point>,
        to: Vec<Point>,
        memberships: Memberships,
    ) -> Missed {
        Missed::new(self.log.clone(), self.remembered.clone(), user, from, to, memberships)
    }
}
