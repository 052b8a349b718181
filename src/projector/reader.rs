//! Reading ahead: the next events are fetched and decoded while Postgres works on the previous batch.

use std::panic::resume_unwind;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    domain::{Position, Recorded},
    log::{Damaged, StreamFollower, Unavailable},
    projector::stopped::Stopped,
};

/// The number of events at which a full batch is complete. The last batch of the follower may take it above this. In a
/// batch of this size a conversation has so many events that its rows and their index entries are written together.
const BATCH: usize = 40_000;
/// The same for the events that are ready. The projectors of all streams may catch up at the same time, and each
/// statement has to end before Postgres cancels it.
const READY: usize = 5_000;
/// The number of bytes of data at which a batch is complete, with the same tolerance.
const BATCH_BYTES: usize = 16 << 20;
/// The maximum numbers of batches of the follower that are read ahead. Together they have about as many events as one
/// batch of a projector. The projectors of all streams share the memory of a node that serves.
const FULL_AHEAD: usize = 80;
const READY_AHEAD: usize = 10;

/// The reason why there are no more events.
const ENDED: &str = "the reader has stopped: the process is stopping";

/// The size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// All events that are ready: few when the reader is current, many when it lags.
    Ready,
    /// As many events as a batch may have. The reader waits for them.
    Full,
}

/// A follower that reads ahead.
pub(super) struct Reader {
    size: Size,
    ready: mpsc::Receiver<Result<Vec<Recorded>, Damaged>>,
    /// Events that the follower has read and that are in no batch yet.
    kept: Vec<Recorded>,
    damaged: Option<Damaged>,
    ahead: AbortOnDropHandle<()>,
}

impl Reader {
    pub(super) fn start(mut follower: StreamFollower, size: Size) -> Self {
        let (ahead, ready) = mpsc::channel(match size {
            Size::Ready => READY_AHEAD,
            Size::Full => FULL_AHEAD,
        });
        let task = tokio::spawn(async move {
            loop {
                let batch = follower.batch().await;
                let is_over = batch.is_err();
                if ahead.send(batch).await.is_err() || is_over {
                    return;
                }
            }
        });
        Self { size, ready, kept: Vec::new(), damaged: None, ahead: AbortOnDropHandle::new(task) }
    }

    /// Waits for events, and takes as many as a batch may have, up to the position `until`. Safe to cancel.
    pub(super) async fn batch(&mut self, until: Position) -> Result<Vec<Recorded>, Stopped> {
        let mut bytes = bytes_of(&self.kept);
        let most = match self.size {
            Size::Ready => READY,
            Size::Full => BATCH,
        };
        while self.damaged.is_none() && self.kept.len() < most && bytes < BATCH_BYTES {
            let is_enough = match (self.size, self.kept.last()) {
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
        // Events before the damage are intact, and are handed over first.
        if let (Some(damaged), true) = (&self.damaged, self.kept.is_empty()) {
            return Err(damaged.clone().into());
        }
        let end = self.kept.partition_point(|recorded| recorded.position <= until);
        let later = self.kept.split_off(end);
        Ok(std::mem::replace(&mut self.kept, later))
    }

    /// Passes a panic of the task that reads ahead on to the reader.
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
