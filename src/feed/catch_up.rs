//! Catching up: the memberships of a user since a cursor, and the events since then.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    domain::{Point, Position, RetentionRules, UserId},
    feed::{
        behind::Behind,
        cursor::Cursors,
        folds::Folds,
        missed::Missed,
        points::Points,
        remembered::Remembered,
        shares::{TO_ASK, TO_CATCH_UP, TO_LOOK_BACK},
    },
    live::Lately,
    log::{Log, Unavailable},
    shares::{Place, Shares},
    views::{self, Checkpoint, Memberships, ReadViews},
};

/// How long to wait for an answer from the views, and for views that lag.
const VIEWS: Duration = Duration::from_secs(5);

/// The feed of a node. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    pub(super) log: Log,
    views: ReadViews,
    rules: RetentionRules,
    pub(super) cursors: Arc<Cursors>,
    pub(super) remembered: Arc<Remembered>,
    asking: Shares<UserId>,
    turns: Shares<UserId>,
    pub(super) looks_back: Shares<UserId>,
}

impl Feed {
    /// A feed that reads from a log, its views, and the recent events in memory.
    pub fn new(
        log: Log,
        (views, rules): (ReadViews, RetentionRules),
        lately: Arc<Lately>,
        secret: &[u8; 32],
    ) -> Self {
        let cursors = Arc::new(Cursors::new(secret, log.epoch(), log.layout().streams));
        let (asking, turns) = (Shares::new(TO_ASK), Shares::new(TO_CATCH_UP));
        let looks_back = Shares::new(TO_LOOK_BACK);
        let points = Points::default();
        let remembered = Arc::new(Remembered { lately, folds: Folds::default(), points });
        Self { log, views, rules, cursors, remembered, asking, turns, looks_back }
    }

    /// The rules for how long messages are retained.
    pub fn retention(&self) -> RetentionRules {
        self.rules
    }

    /// The cursor of a user who has received all events up to these points.
    pub fn cursor(&self, user: UserId, points: &[Point]) -> String {
        self.cursors.write(user, points)
    }

    /// Waits for a turn, so that a storm of reconnects does not take down the live users.
    pub async fn turn(&self, user: UserId) -> Result<Place<UserId>, Behind> {
        Ok(self.turns.take(user).await?)
    }

    /// The present memberships of a user, and the memberships that ended after `since`. The log has passed these
    /// positions.
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
            // The wait for lagging views takes no place: otherwise a lag would block all queries.
            let place = self.asking.take(user).await?;
            let asked = views::memberships(self.views.pool(), Some(self.rules), user, least);
            let told = timeout(VIEWS, asked).await;
            drop(place);
            let memberships = told.map_err(|_| Unavailable::because("the views do not answer in time"))??;
            if memberships.reach(&wanted) {
                return Ok(memberships);
            }
            if !self.views.all_reached(&wanted, VIEWS).await? {
                break;
            }
        }
        Err(Behind::Lagging)
    }

    /// The missed events of a user between two points. This node has to have followed the log to both.
    pub async fn missed(&self, user: UserId, from: Vec<Point>, to: Vec<Point>) -> Result<Missed, Behind> {
        let memberships = self.memberships(user, &Point::positions(&from), &Point::positions(&to)).await?;
        Ok(self.missed_in(user, from, to, memberships))
    }

    /// The same as [`Self::missed`], if the memberships as of these points are known.
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
