//! Reading the log for an endpoint that lags behind the ring of its node.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    domain::{Position, ReplayId},
    log::{Log, NotRead},
    webhooks::teller::{Batch, Teller},
};

/// The most streams that are read for one endpoint at once.
const AT_ONCE: usize = 2;
/// The most batches that wait to be taken.
const AHEAD: usize = 2;
/// The wait before a stream is read again after an outage.
const PAUSE: Duration = Duration::from_millis(500);

/// A stream of a run.
pub(super) type Of = (Option<ReplayId>, usize);

/// The readers of an endpoint. Each has a number, so that a batch of an ended reader is recognised.
pub(super) struct Readers {
    log: Log,
    tasks: HashMap<Of, (u64, AbortOnDropHandle<()>)>,
    count: u64,
    batches: Sender<(Of, u64, Batch)>,
    ready: Receiver<(Of, u64, Batch)>,
}

impl Readers {
    pub(super) fn new(log: &Log) -> Self {
        let (batches, ready) = mpsc::channel(AHEAD);
        Self { log: log.clone(), tasks: HashMap::new(), count: 0, batches, ready }
    }

    /// Starts to read a stream after a position, if it is not being read and there is room.
    pub(super) fn start(&mut self, of: Of, after: Position) {
        if self.tasks.contains_key(&of) || self.tasks.len() >= AT_ONCE {
            return;
        }
        self.count += 1;
        let (log, batches, number) = (self.log.clone(), self.batches.clone(), self.count);
        let task = tokio::spawn(async move {
            let mut teller = Teller::new(&log, of.1, after);
            loop {
                match teller.batch().await {
                    Ok(batch) => {
                        if batches.send((of, number, batch)).await.is_err() {
                            return;
                        }
                    }
                    Err(NotRead::Unavailable(e)) => {
                        tracing::debug!(error = %e, stream = of.1, "cannot read a stream for a webhook yet");
                        sleep(PAUSE).await;
                    }
                    Err(NotRead::Damaged(damaged)) => {
                        tracing::error!(error = %damaged, "stopped reading a stream for a webhook: the log is damaged");
                        std::future::pending::<()>().await;
                    }
                }
            }
        });
        self.tasks.insert(of, (number, AbortOnDropHandle::new(task)));
    }

    /// Stops reading a stream.
    pub(super) fn end(&mut self, of: Of) {
        self.tasks.remove(&of);
    }

    /// The next batch. Safe to cancel.
    pub(super) async fn next(&mut self) -> (Of, Batch) {
        loop {
            let Some((of, number, batch)) = self.ready.recv().await else { std::future::pending().await };
            if self.tasks.get(&of).is_some_and(|(current, _)| *current == number) {
                return (of, batch);
            }
        }
    }
}
