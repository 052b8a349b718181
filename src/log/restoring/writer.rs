//! Writes the records of a stream that is restored, each at its own position.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{NotRestored, Restoring};
use crate::{
    domain::Position,
    log::{Record, envelope::MESSAGE_ID, write::publish},
};

/// How long after a record was written another one may have its id.
const FORGOTTEN: Duration = Duration::from_millis(300);
/// The most records and bytes of a batch.
const MAX_BATCH: usize = 500;
const MAX_BATCH_BYTES: usize = 1 << 20;
/// How long a batch may take.
const BATCH_WITHIN: Duration = Duration::from_secs(15);
/// How long a batch is retried, and the wait between attempts: a cluster that has lost a server has new leaders within
/// some ten seconds.
const STORED_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(300);

/// Writes the records of a stream.
pub(crate) struct Writer<'a> {
    of: &'a Restoring,
    stream: String,
    last: Position,
    recent: VecDeque<(Instant, HashSet<String>)>,
}

impl<'a> Writer<'a> {
    /// A writer that continues after the last record of a stream.
    pub(crate) fn new(of: &'a Restoring, stream: &str, last: Position) -> Self {
        Self { of, stream: stream.to_owned(), last, recent: VecDeque::new() }
    }

    /// The last record that is stored.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// Stores records, each at its own position.
    pub(crate) async fn write(&mut self, mut records: &[Record]) -> Result<(), NotRestored> {
        // JetStream gives out positions in order, so a record could only get its own after the one before it.
        let mut following = self.last.0 + 1..;
        if let Some(next) = records.iter().find(|record| following.next() != Some(record.position.0)) {
            let (stream, last) = (self.stream.clone(), Position(following.start - 2));
            return Err(NotRestored::Gap { stream, last, next: next.position });
        }
        while !records.is_empty() {
            let (size, ids) = batch(records);
            let (now, later) = records.split_at(size);
            self.await_forgotten(&ids).await;
            self.store(now).await?;
            self.recent.push_back((Instant::now(), ids));
            records = later;
        }
        Ok(())
    }

    /// Waits until JetStream has forgotten all of these ids.
    async fn await_forgotten(&mut self, ids: &HashSet<String>) {
        while self.recent.front().is_some_and(|(written, _)| written.elapsed() > FORGOTTEN) {
            self.recent.pop_front();
        }
        let known = self.recent.iter().rfind(|(_, known)| !known.is_disjoint(ids));
        if let Some((written, _)) = known {
            sleep(FORGOTTEN.saturating_sub(written.elapsed())).await;
        }
    }

    async fn store(&mut self, batch: &[Record]) -> Result<(), NotRestored> {
        let wanted = self.last.0 + batch.len() as u64;
        let give_up = Instant::now() + STORED_WITHIN;
        loop {
            let messages = batch
                .iter()
                .map(|record| (record.subject.clone(), record.header_map(), record.payload.clone()));
            let stored =
                publish::publish_batch(&self.of.client, messages, Instant::now() + BATCH_WITHIN).await;
            let why = match stored {
                Ok(answer) if answer.seq == wanted && !answer.duplicate => break,
                Ok(answer) => format!("the answer was {answer:?}"),
                Err(refused) => refused.to_string(),
            };
            // The batch may be stored although its answer was lost.
            let found = self.of.ends(&self.stream).await.map(|ends| ends.last);
            match found {
                Ok(found) if found.0 == wanted => break,
                // An empty stream that begins at a later position ends before it.
                Ok(found) if found != self.last && found.0 != 0 => {
                    return Err(NotRestored::Misplaced {
                        stream: self.stream.clone(),
                        wanted: Position(wanted),
                        found,
                    });
                }
                _ if Instant::now() >= give_up => {
                    return Err(NotRestored::Refused { stream: self.stream.clone(), last: self.last, why });
                }
                _ => sleep(PAUSE).await,
            }
        }
        self.last = Position(wanted);
        Ok(())
    }
}

/// How many of the first records go into one batch, and their ids: JetStream refuses a batch that has an id twice.
fn batch(records: &[Record]) -> (usize, HashSet<String>) {
    let (mut ids, mut bytes, mut size) = (HashSet::new(), 0, 0);
    for record in records.iter().take(MAX_BATCH) {
        if let Some(id) = record.header(MESSAGE_ID.as_ref())
            && !ids.insert(id.to_owned())
        {
            break;
        }
        bytes += record.payload.len() + record.headers.len();
        if size > 0 && bytes > MAX_BATCH_BYTES {
            break;
        }
        size += 1;
    }
    (size, ids)
}
