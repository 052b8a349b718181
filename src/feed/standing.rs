//! Checks a cursor: whether it was made in this very log, and what the points at its positions are.

use futures_util::future::try_join_all;

use crate::{
    domain::{Point, Position, UserId},
    feed::{Feed, Reset},
    log::{Found, Unavailable},
};

impl Feed {
    /// The points of a user's cursor. `now` has the points up to which this node has followed the log.
    pub async fn points(
        &self,
        user: UserId,
        cursor: &str,
        now: &[Point],
    ) -> Result<Result<Vec<Point>, Reset>, Unavailable> {
        let claim = match self.cursors.read(user, cursor) {
            Ok(claim) => claim,
            Err(reset) => return Ok(Err(reset)),
        };
        let events = claim.positions.iter().zip(now).enumerate();
        let events = events.map(|(stream, (position, now))| self.point(stream, *position, *now));
        let points = match try_join_all(events).await?.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(points) => points,
            Err(reset) => return Ok(Err(reset)),
        };
        // Look up first, compare second: an older copy of the log can have grown past the same positions, and only the
        // ids of the events there tell the two logs apart.
        Ok(if claim.is_of(&points) { Ok(points) } else { Err(Reset::AnotherLog) })
    }

    /// The point at a position of a stream. A storm of reconnects asks for the same few points, which this node
    /// remembers.
    async fn point(
        &self,
        stream: usize,
        position: Position,
        now: Point,
    ) -> Result<Result<Point, Reset>, Unavailable> {
        let points = &self.remembered.points;
        if position == now.position {
            return Ok(Ok(now));
        }
        if let Some(point) =
            self.remembered.lately.point(stream, position).or_else(|| points.get(stream, position))
        {
            return Ok(Ok(point));
        }
        Ok(match self.log.find(stream, position).await? {
            Found::Event(event) => {
                let point = Point { position, event };
                points.remember(stream, point);
                Ok(point)
            }
            // Another node may be ahead of this one, but no node is ahead of the log.
            Found::Ahead { .. } => Err(Reset::FromTheFuture),
            Found::Missing => Err(Reset::Incomplete),
        })
    }
}
