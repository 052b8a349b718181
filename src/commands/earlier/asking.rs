//! Asking the view for keys: many in one query, on one connection, behind a breaker. When a query fails or
//! hangs the breaker opens, and everybody is told at once that the view does not answer. From then on one
//! query at a time, of nobody, tries whether it does again.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    domain::Position,
    log::{Log, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
    views::{self, FoundKey, Sending},
};

/// The most look-ups that may wait.
const WAITING: usize = 8_192;
/// The most keys of one query.
const BATCH: usize = 256;
/// How long a query may take, with a new connection if need be, before the view counts as away. That is
/// longer than anybody waits for it: one that is slow for a moment is not given up.
const QUERY: Duration = Duration::from_secs(1);
/// How long the breaker stays open before the view is tried again.
const OPEN: Duration = Duration::from_secs(1);
/// How long such an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A key that somebody asks for.
pub(super) struct Asked {
    sending: Sending,
    answer: oneshot::Sender<KeyAnswer>,
}

/// What the view says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyAnswer {
    /// It is there.
    At(Position),
    /// It is not among the messages up to this position of its stream.
    NewUpTo(Position),
    /// The view does not answer, or not for this conversation.
    Nothing,
}

/// The view, and whether it is asked at present.
struct Breaker {
    pool: PgPool,
    state: State,
}

enum State {
    Closed(views::UsedKeys),
    OpenUntil(Instant),
    HalfOpen(BoxFuture<'static, Option<views::UsedKeys>>),
}

/// Starts the task that asks; it ends with the last sender.
pub(super) fn start(pool: PgPool, log: Log, tasks: &Supervisor) -> mpsc::Sender<Asked> {
    let (queue, asked) = mpsc::channel(WAITING);
    tasks.spawn_ending("keys", answer_all(Breaker::new(pool), log, asked));
    queue
}

/// What the view says of a key, once it has been asked.
pub(super) async fn ask(queue: &mpsc::Sender<Asked>, sending: Sending) -> KeyAnswer {
    let (answer, answered) = oneshot::channel();
    // If too many wait, waiting does not help.
    let _ = queue.try_send(Asked { sending, answer });
    answered.await.unwrap_or(KeyAnswer::Nothing)
}

async fn answer_all(mut breaker: Breaker, log: Log, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            () = breaker.closes() => {}
            count = asked.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                // Whoever has waited in vain has gone to search the log.
                batch.retain(|asked| !asked.answer.is_closed());
                answer(&mut breaker, &log, std::mem::take(&mut batch)).await;
            }
        }
    }
}

async fn answer(breaker: &mut Breaker, log: &Log, batch: Vec<Asked>) {
    let asked: Vec<&Sending> = batch.iter().map(|asked| &asked.sending).collect();
    let found = breaker.look_up(&asked).await;
    for Asked { sending, answer } in batch {
        let known = found.as_ref().map(|found| known(found, log.stream_of(sending.0), &sending));
        let _ = answer.send(known.unwrap_or(KeyAnswer::Nothing));
    }
}

/// Two retries of one message may stand in one batch: both are told of it.
fn known(found: &FoundKey, stream: usize, sending: &Sending) -> KeyAnswer {
    match found.at.get(sending) {
        Some(position) => KeyAnswer::At(*position),
        None if found.parked.contains(&sending.0) => KeyAnswer::Nothing,
        None => KeyAnswer::NewUpTo(found.reached.get(&stream).copied().unwrap_or_default()),
    }
}

impl Breaker {
    fn new(pool: PgPool) -> Self {
        let state = State::Closed(views::UsedKeys::new(pool.clone()));
        Self { pool, state }
    }

    /// What the view says, if it is asked and answers in time.
    async fn look_up(&mut self, keys: &[&Sending]) -> Option<FoundKey> {
        let State::Closed(view) = &mut self.state else { return None };
        let why: Unavailable = match timeout(QUERY, view.look_up(keys)).await {
            Ok(Ok(found)) => return found,
            Ok(Err(e)) => Unavailable::because(e),
            Err(_) => Unavailable::because("no answer in time"),
        };
        tracing::warn!(error = %why, "could not look keys up in the views; searching the log for them");
        METRICS.key_breaker.set(1);
        self.state = State::OpenUntil(Instant::now() + OPEN);
        None
    }

    /// Waits until the view answers again; for ever while it does. Safe to cancel.
    async fn closes(&mut self) {
        loop {
            match &mut self.state {
                State::Closed(_) => std::future::pending().await,
                State::OpenUntil(then) => {
                    sleep_until(*then).await;
                    self.state = State::HalfOpen(attempt(self.pool.clone()).boxed());
                }
                State::HalfOpen(attempt) => match attempt.await {
                    None => self.state = State::OpenUntil(Instant::now() + OPEN),
                    Some(view) => {
                        tracing::info!("the views answer look-ups of keys again");
                        METRICS.key_breaker.set(0);
                        self.state = State::Closed(view);
                        return;
                    }
                },
            }
        }
    }
}

/// Asks the view for no key at all, on a new connection.
async fn attempt(pool: PgPool) -> Option<views::UsedKeys> {
    let mut view = views::UsedKeys::new(pool);
    let answered = timeout(ATTEMPT, view.look_up(&[])).await;
    matches!(answered, Ok(Ok(_))).then_some(view)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::domain::{ClientId, ConversationId, UserId};

    fn sending(key: &str) -> Sending {
        let id = uuid::Uuid::from_u128(7);
        (ConversationId::known(id), UserId::known(id), ClientId::try_from(key.to_owned()).expect("a key"))
    }

    #[test]
    fn the_view_speaks_for_what_it_has_reached_and_not_for_a_conversation_that_stands_still() {
        let mut found = FoundKey {
            at: HashMap::from([(sending("key-of-old"), Position(5))]),
            reached: HashMap::from([(0, Position(9))]),
            parked: HashSet::new(),
        };
        assert_eq!(known(&found, 0, &sending("key-of-old")), KeyAnswer::At(Position(5)));
        assert_eq!(known(&found, 0, &sending("key-of-new")), KeyAnswer::NewUpTo(Position(9)));
        assert_eq!(known(&found, 1, &sending("key-of-new")), KeyAnswer::NewUpTo(Position::START));
        found.parked.insert(sending("key-of-old").0);
        assert_eq!(known(&found, 0, &sending("key-of-old")), KeyAnswer::At(Position(5)));
        assert_eq!(known(&found, 0, &sending("key-of-new")), KeyAnswer::Nothing);
    }
}
