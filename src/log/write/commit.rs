//! Group commit: one disk sync for many events. On one replica JetStream syncs each message by itself, so the messages
//! that queue up behind a sync are published as one atomic batch; a few messages are faster one by one. In a cluster
//! the servers group by themselves, so messages are only pipelined.

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{
    domain::Position,
    log::{
        envelope::MESSAGE_ID,
        errors::{NotAppended, Unavailable},
        limits::{APPEND_DEADLINE, REQUEST_TIMEOUT},
        memory::{known::Known, outcomes::Outcomes},
        write::publish::{Appended, Outgoing, RETRY_PAUSE, Refused, attempt, publish, publish_batch},
    },
    overload::Shortest,
    supervise::Supervisor,
    telemetry::{APPENDS, StreamAppends},
};

/// With this many waiting events or more, a batch is cheaper than single publications.
const BREAK_EVEN: usize = 16;
/// The most events of a batch; the server's limit is 1,000.
const MAX_BATCH: usize = 500;
/// The most bytes of a batch.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// The most events that wait or are in flight; beyond that an append is refused at once.
const MAX_WAITING: usize = 8_192;

/// The queue of appends to one stream.
pub(in crate::log) struct Queue {
    waiting: mpsc::Sender<Waiting>,
    places: Arc<Semaphore>,
    waited: Shortest,
    metrics: StreamAppends,
}

/// The stream of a queue, and the memory that its task keeps current.
#[derive(Clone)]
struct Stream {
    client: Client,
    known: Known,
    replicas: usize,
    outcomes: Outcomes,
    metrics: StreamAppends,
}

/// An event that waits to be stored, and the way back to its caller.
struct Waiting {
    out: Outgoing,
    deadline: Instant,
    _place: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Appended, NotAppended>>,
}

impl Queue {
    /// Starts the task that empties the queue; the task ends with the last sender.
    pub(in crate::log) fn start(
        name: String,
        client: Client,
        known: Known,
        replicas: usize,
        outcomes: &Outcomes,
        waited: &Shortest,
        tasks: &Supervisor,
    ) -> Self {
        let (waiting, receiver) = mpsc::channel(MAX_WAITING);
        let metrics = APPENDS.of(name);
        let stream = Stream { client, known, replicas, outcomes: outcomes.clone(), metrics: metrics.clone() };
        tasks.spawn_ending("appends", empty(stream, receiver));
        Self { waiting, places: Arc::new(Semaphore::new(MAX_WAITING)), waited: waited.clone(), metrics }
    }

    /// How many events wait or are in flight.
    pub(in crate::log) fn waiting(&self) -> usize {
        MAX_WAITING - self.places.available_permits()
    }

    /// Notes how long an append took that bypassed this queue.
    pub(in crate::log) fn took(&self, took: Duration) {
        self.metrics.took.observe(took);
    }

    pub(in crate::log) async fn append(&self, out: Outgoing) -> Result<Appended, NotAppended> {
        let begun = Instant::now();
        let appended = self.stored(out, begun).await;
        match &appended {
            Ok(_) => {
                self.waited.note(begun.elapsed());
                self.metrics.took.observe(begun.elapsed());
            }
            Err(why) => {
                APPENDS.failed.get_or_create(&[("reason", why.word())]).inc();
            }
        }
        appended
    }

    async fn stored(&self, out: Outgoing, begun: Instant) -> Result<Appended, NotAppended> {
        let too_many = || Unavailable::because("too many appends are waiting");
        let _place = self.places.clone().try_acquire_owned().map_err(|_| too_many())?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { out, deadline: begun + APPEND_DEADLINE, _place, answer };
        self.waiting.try_send(waiting).map_err(|_| too_many())?;
        answered.await.map_err(|_| Unavailable::because("the process is stopping"))?
    }
}

async fn empty(stream: Stream, mut queue: mpsc::Receiver<Waiting>) {
    let mut round = Vec::new();
    while queue.recv_many(&mut round, 1).await > 0 {
        let mut bytes = 0;
        while round.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.out.payload.len();
            round.push(next);
        }
        stream.metrics.batch.observe(round.len());
        if stream.replicas > 1 {
            let stream = stream.clone();
            let pipelined = std::mem::take(&mut round);
            tokio::spawn(async move { one_by_one(&stream, pipelined).await });
        } else if round.len() < BREAK_EVEN {
            one_by_one(&stream, std::mem::take(&mut round)).await;
        } else {
            let (batch, rest) = without_repeats(std::mem::take(&mut round));
            let refused = as_batch(&stream, batch).await;
            one_by_one(&stream, refused).await;
            one_by_one(&stream, rest).await;
        }
    }
}

/// JetStream refuses a batch that has a message id twice, so the repeats are published after the batch.
fn without_repeats(round: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = std::collections::HashSet::new();
    round.into_iter().partition(|waiting| {
        let id = waiting.out.headers.get(MESSAGE_ID.clone()).map(|id| id.as_str().to_owned());
        seen.insert(id)
    })
}

/// Stores all events or none. The events that are returned have to be published one by one, for instance because one of
/// them is stored already.
async fn as_batch(stream: &Stream, batch: Vec<Waiting>) -> Vec<Waiting> {
    let events = batch.iter().map(|waiting| {
        let Outgoing { subject, headers, payload, .. } = waiting.out.clone();
        (subject, headers, payload)
    });
    // The events of a batch without an answer are published one by one, which is expensive: it is worth waiting longer
    // for the batch.
    let patience = Instant::now() + REQUEST_TIMEOUT;
    let until = batch.last().map_or(patience, |last| last.deadline.min(patience));
    match publish_batch(&stream.client, events, until).await {
        Ok(answer) if answer.count == batch.len() as u64 => {
            stream.outcomes.stored();
            if let Some(last) = batch.last() {
                stream.known.note(Position(answer.seq), last.out.conversation);
            }
            // The positions of an atomic batch are contiguous, and the answer names the last one.
            let before = answer.seq - answer.count;
            for (waiting, position) in batch.into_iter().zip(before + 1..) {
                let appended = Appended { position: Position(position), duplicate: false };
                let _ = waiting.answer.send(Ok(appended));
            }
            Vec::new()
        }
        outcome => {
            tracing::debug!(?outcome, size = batch.len(), "a batch was not accepted");
            batch
        }
    }
}

/// Publishes the events concurrently, and retries until each is stored or its deadline has passed.
async fn one_by_one(stream: &Stream, round: Vec<Waiting>) {
    join_all(round.into_iter().map(|waiting| until_stored(stream, waiting))).await;
}

async fn until_stored(stream: &Stream, waiting: Waiting) {
    let outcome = loop {
        match publish(&stream.client, waiting.out.clone(), attempt(waiting.deadline)).await {
            Ok(answer) => {
                let position = Position(answer.seq);
                stream.outcomes.stored();
                stream.known.note(position, waiting.out.conversation);
                break Ok(Appended { position, duplicate: answer.duplicate });
            }
            Err(Refused::TooLarge) => break Err(NotAppended::too_large()),
            Err(refused) => {
                stream.outcomes.refused(&refused.to_string());
                if Instant::now() + RETRY_PAUSE >= waiting.deadline {
                    break Err(Unavailable::because(refused).into());
                }
                tracing::debug!(%refused, "retrying an append");
                sleep(RETRY_PAUSE).await;
            }
        }
    };
    let _ = waiting.answer.send(outcome);
}
