//! The points of the log that were asked for lately.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::{EventId, Point, Position};

/// The most points that are remembered; beyond, all are forgotten.
const MOST: usize = 16_384;

/// Points that the log was asked for lately.
#[derive(Default)]
pub(super) struct Points(Mutex<HashMap<(usize, Position), EventId>>);

impl Points {
    fn known(&self) -> MutexGuard<'_, HashMap<(usize, Position), EventId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, stream: usize, position: Position) -> Option<Point> {
        self.known().get(&(stream, position)).map(|event| Point { position, event: *event })
    }

    pub(super) fn remember(&self, stream: usize, Point { position, event }: Point) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((stream, position), event);
    }
}
