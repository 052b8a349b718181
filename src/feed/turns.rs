//! Turns to catch up: few at once, so that those who are live do not feel a storm of reconnects, and
//! no more waiting than can have a turn in time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The most that catch up at once on this node.
const AT_ONCE: usize = 32;
/// The most that wait for their turn.
const WAITING: usize = 4_096;
/// How long one waits for a turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// All turns of this node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns {
    free: Arc<Semaphore>,
    /// Places to wait at. A permit goes back also when the request that waits is dropped.
    waiting: Arc<Semaphore>,
}

/// A turn to catch up; it ends when this is dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(WAITING)) }
    }
}

impl Turns {
    /// Waits for a turn; `None` if too many wait already, or there is none in time.
    pub(super) async fn take(&self) -> Option<Turn> {
        let _place = self.waiting.try_acquire().ok()?;
        let permit = timeout(PATIENCE, self.free.clone().acquire_owned()).await.ok()?.ok()?;
        Some(Turn { _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_place_from_others() {
        let turns = Turns::default();
        let taken: Vec<Option<Turn>> = join_all((0..AT_ONCE).map(|_| turns.take())).await;
        assert!(taken.iter().all(Option::is_some));
        for _ in 0..3 {
            let mut wait: Vec<_> = (0..WAITING).map(|_| Box::pin(turns.take())).collect();
            assert!(wait.iter_mut().all(|waits| waits.now_or_never().is_none()), "all of them wait");
            assert!(turns.take().await.is_none(), "one more than may wait");
        }
        let next = turns.take();
        drop(taken);
        assert!(next.await.is_some(), "those who gave up are forgotten");
    }
}
