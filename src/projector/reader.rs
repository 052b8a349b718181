//! Reading ahead: the next events are fetched and decoded while Postgres works on the batch before.

use std::panic::resume_unwind;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    domain::{Position, Recorded},
    log::{Damaged, StreamFollower, Unavailable},
    projector::stopped::Stopped,
};

/// The most events of a batch, give or take one batch of the follower. In a batch of this size a conversation has so
/// many events that its rows and their keys are written together.
const BATCH: usize = 40_000;
/// The most bytes of data of a batch, with the same tolerance.
const BATCH_BYTES: usize = 16 << 20;
/// The most batches of the follower that lie ready: about one batch of ours.
const AHEAD: usize = 80;

/// Why there are no more events.
const ENDED: &str = "the reader has stopped: the process is stopping";

/// The size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// All events that lie ready: few when the reader is current, many when it lags.
    Ready,
    /// As many events as a batch may have; the reader waits for the last ones.
    Full,
}

/// A follower that is ahead of its reader.
pub(super) struct Reader {
    ready: mpsc::Receiver<Result<Vec<Recorded>, Damaged>>,
    /// Events that the follower has read and no batch has taken.
    kept: Vec<Recorded>,
    damaged: Option<Damaged>,
    ahead: AbortOnDropHandle<()>,
}

impl Reader {
    pub(super) fn start(mut follower: StreamFollower) -> Self {
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
        Self { ready, kept: Vec::new(), damaged: None, ahead: AbortOnDropHandle::new(task) }
    }

    /// Waits for events and takes up to `until` and about 40,000 of them. Safe to cancel.
    pub(super) async fn batch(&mut self, until: Position, size: Size) -> Result<Vec<Recorded>, Stopped> {
        let mut bytes = bytes_of(&self.kept);
        while self.damaged.is_none() && self.kept.len() < BATCH && bytes < BATCH_BYTES {
            let is_enough = match (size, self.kept.last()) {
                (_, None) => false,
                (Size::Ready, Some(_)) => true,
                (Size::Full, Some(last)) => last.position >= until,
            };
            let read = match self.ready.try_recv() {
                Ok(read) => read,
                Err(_) if is_enough => break,
                Err(_) => match self.ready.recv().await {
                    Some(read) => read,
                    None => return Err(self.ended().await),
                },
            };
            match read {
                Ok(more) => {
                    bytes += bytes_of(&more);
                    self.kept.extend(more);
                }
                Err(damaged) => self.damaged = Some(damaged),
            }
        }
        // Events before the damage are good, and are handed over first.
        if let (Some(damaged), true) = (&self.damaged, self.kept.is_empty()) {
            return Err(damaged.clone().into());
        }
        let end = self.kept.partition_point(|recorded| recorded.position <= until);
        let later = self.kept.split_off(end);
        Ok(std::mem::replace(&mut self.kept, later))
    }

    /// A panic of the task that reads ahead becomes a panic of its reader.
    async fn ended(&mut self) -> Stopped {
        match (&mut self.ahead).await {
            Err(e) if e.is_panic() => resume_unwind(e.into_panic()),
            _ => Unavailable::because(ENDED).into(),
        }
    }
}

fn bytes_of(events: &[Recorded]) -> usize {
    events.iter().map(|recorded| recorded.data.len()).sum()
}
