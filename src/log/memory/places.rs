//! The places for replays, which bound how many a process runs at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{log::errors::Unavailable, telemetry::METRICS};

/// The most replays at once in a process: for clients that catch up, for reads of the past, and for searches for a key.
const AT_ONCE: usize = 48;
/// How long a replay waits for its place.
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// The places for replays in this process. Cheap to clone.
#[derive(Clone)]
pub(in crate::log) struct Places(Arc<Semaphore>);

/// A place for a replay. The consumers of the replay share it, and it is free again when the last of them is
/// deleted.
pub(in crate::log) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Places {
    /// Waits for a place.
    pub(in crate::log) async fn take(&self) -> Result<Arc<Place>, Unavailable> {
        match timeout(PLACE_WITHIN, self.0.clone().acquire_owned()).await {
            Ok(Ok(permit)) => {
                METRICS.replays.inc();
                Ok(Arc::new(Place { _permit: permit }))
            }
            _ => Err(Unavailable::because("too many replays at once")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        METRICS.replays.dec();
    }
}
