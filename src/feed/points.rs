//! The points of the log that were asked for lately. An event never leaves its position, so no point goes out of date.

use crate::{
    cache::Cache,
    domain::{EventId, Point, Position},
};

/// The most points that are kept.
const MOST: usize = 16_384;

/// Points that the log was asked for lately, by their stream.
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
