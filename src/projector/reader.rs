//! Reading ahead: the next events are fetched and decoded while Postgres works on those before.

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Stopped;
use crate::{
    domain::Position,
    log::{Damaged, Follower, Recorded, Unavailable},
};

/// The most events of a batch, give or take what the follower hands over at once. So many of a
/// conversation are then brought in at once that its rows and their keys are written together.
const BATCH: usize = 20_000;
/// The most bytes of data of a batch, with the same tolerance.
const BATCH_BYTES: usize = 8 << 20;
/// The most that lie ready, as the follower hands them over.
const AHEAD: usize = 40;

/// A follower that is ahead of its reader.
pub(super) struct Reader {
    ready: mpsc::Receiver<Result<Vec<Recorded>, Damaged>>,
    /// What comes next.
    kept: Vec<Recorded>,
    damaged: Option<Damaged>,
    _ahead: AbortOnDropHandle<()>,
}

impl Reader {
    pub(super) fn start(mut follower: Follower) -> Self {
        let (ahead, ready) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            loop {
                let batch = follower.batch().await;
                let is_over = batch.is_err();
                if ahead.send(batch).await.is_err() || is_over {
                    return;
                }
            }
        });
        Self { ready, kept: Vec::new(), damaged: None, _ahead: AbortOnDropHandle::new(task) }
    }

    /// Waits for events and takes all that lie ready, up to `until` and about 20,000: few when they are
    /// new, many when they are not. Safe to cancel.
    pub(super) async fn batch(&mut self, until: Position) -> Result<Vec<Recorded>, Stopped> {
        if self.kept.is_empty() {
            if let Some(damaged) = &self.damaged {
                return Err(damaged.clone().into());
            }
            let ended = || Unavailable::because("nobody reads ahead any more: the process is stopping");
            self.kept = self.ready.recv().await.ok_or_else(ended)??;
        }
        let mut bytes: usize = self.kept.iter().map(|recorded| recorded.data.len()).sum();
        while self.kept.len() < BATCH && bytes < BATCH_BYTES {
            match self.ready.try_recv() {
                Ok(Ok(more)) => {
                    bytes += more.iter().map(|recorded| recorded.data.len()).sum::<usize>();
                    self.kept.extend(more);
                }
                Ok(Err(damaged)) => self.damaged = Some(damaged),
                Err(_) => break,
            }
        }
        let end = self.kept.partition_point(|recorded| recorded.position <= until);
        let later = self.kept.split_off(end);
        Ok(std::mem::replace(&mut self.kept, later))
    }
}
