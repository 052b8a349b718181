//! Points of the log that were looked up recently. An event never leaves its position, so a point never becomes stale.

use crate::{
    cache::Cache,
    domain::{EventId, Point, Position},
};

/// The most points that are kept.
const MOST: usize = 16_384;

/// The recently looked-up points, by stream.
pub(super) struct Points(Cache<(usize, Position), EventId>);

impl Default for Points {
    fn default() -> Self {
        Self(Cache::new("cursor_points", MOST))
    }
}

impl Points {
    pub(super) fn get(&self, stream: usize, position: Position) -> Option<Point> {
        self.0.get(&(stream, position)).map(|event| Point { position, event })
    }

    pub(super) fn remember(&self, stream: usize, Point { position, event }: Point) {
        self.0.insert((stream, position), event);
    }
}
