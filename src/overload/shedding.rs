//! Decides whether a piece of work is refused at present.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    level::{Level, Waits},
    work::WorkKind,
};
use crate::telemetry::METRICS;

/// The level of overload of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Overload(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    least: Duration,
    level: AtomicU8,
}

/// The refusal of a kind of work, because there is too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has too much to do: it refuses {}", .0.word())]
pub struct Shed(pub WorkKind);

impl Shed {
    /// The code of the refusal in problems and frames.
    pub const CODE: &str = "temporary_reduced_capacity";
    /// The detail of the refusal.
    pub const DETAIL: &str =
        "This node is overloaded: send the same request again later, or to another node.";
    /// The time after which a client may try again.
    pub const AGAIN: Duration = Duration::from_secs(2);
}

impl Overload {
    /// Refuses nothing yet. A wait of `least` is the first sign of overload.
    pub fn new(least: Duration) -> Self {
        Self(Arc::new(Inner { least, level: AtomicU8::new(0) }))
    }

    /// Whether a piece of work may proceed.
    pub fn admit(&self, work: WorkKind) -> Result<(), Shed> {
        if !self.level().refuses(work) {
            return Ok(());
        }
        METRICS.shed.get_or_create(&[("work", work.word())]).inc();
        Err(Shed(work))
    }

    /// The present level.
    pub fn level(&self) -> Level {
        Level::of_number(self.0.level.load(Relaxed))
    }

    /// Moves to the next level after a measurement. Only one task may call it, because it loads and stores the level
    /// separately.
    pub fn look(&self, waits: Waits) {
        let before = self.level();
        let level = before.next(waits, self.0.least);
        if level == before {
            return;
        }
        self.0.level.store(level.number(), Relaxed);
        METRICS.overload.set(level.number().into());
        let (cause, wait) = waits.worst();
        let (number, wait_ms) = (level.number(), u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let up_to = level.last().map_or("nothing", WorkKind::word);
        if before == Level::default() {
            tracing::warn!(overload_level = number, up_to, cause, wait_ms, "overloaded; refusing some work");
        } else if level > before {
            tracing::info!(overload_level = number, up_to, cause, wait_ms, "overloaded; refusing more work");
        } else if level > Level::default() {
            tracing::info!(overload_level = number, up_to, "refusing less work");
        } else {
            tracing::info!(overload_level = number, up_to, "caught up; refusing no work");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_follows_from_the_looks() {
        let overload = Overload::new(Duration::from_millis(100));
        let (none, long) = (Some(Duration::ZERO), Some(Duration::from_millis(110)));
        let waits = Waits { processor: none, database: none, log: long };
        assert_eq!(overload.admit(WorkKind::Typing), Ok(()));
        for _ in 0..3 {
            overload.look(waits);
        }
        assert_eq!(overload.admit(WorkKind::Typing), Err(Shed(WorkKind::Typing)));
        assert_eq!(overload.admit(WorkKind::Presence), Ok(()));
        overload.look(Waits { log: none, ..waits });
        assert_eq!(overload.admit(WorkKind::Typing), Ok(()));
    }
}
