//! Look-ups of keys in the view: many keys in one query, on one connection, protected by a circuit breaker. When a
//! query fails or hangs, the breaker opens, and every command is answered at once that the view does not answer. From
//! then on, attempts without a key, one at a time, test whether the view answers again.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use crate::{
    domain::Position,
    live::Grown,
    log::{Log, Unavailable, client_hash},
    supervise::Supervisor,
    telemetry::METRICS,
    views::{self, AskedKey, FoundKey, Sending},
};

/// The most look-ups that may wait.
const WAITING: usize = 8_192;
/// The most keys of one query.
const BATCH: usize = 256;
/// How long a query may take, with a new connection if need be, before the view counts as down. This is longer than a
/// command waits for the view alone, so a view that is slow for a moment does not open the breaker.
const QUERY: Duration = Duration::from_secs(1);
/// How long the breaker stays open before an attempt to reach the view.
const OPEN: Duration = Duration::from_secs(1);
/// How long an attempt to reach the view may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A key to look up, and the command that waits for the answer.
pub(super) struct Asked {
    sending: Sending,
    /// If set, the greatest key before this one is wanted as well.
    end: Option<Uuid>,
    answer: oneshot::Sender<KeyAnswer>,
}

/// The view's answer about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyAnswer {
    /// The view has the key at this position.
    At(Position),
    /// The view has no such key up to this position of the stream.
    NewUpTo(Position),
    /// The view has parked this conversation, and has no such key before it stands still.
    Parked,
    /// The view does not answer.
    Nothing,
}

/// The view, and whether queries currently go to it.
struct Breaker {
    pool: PgPool,
    state: State,
}

enum State {
    Closed(views::UsedKeys),
    OpenUntil(Instant),
    HalfOpen(BoxFuture<'static, Option<views::UsedKeys>>),
}

/// Starts the task that queries the view. The task ends with the last sender.
pub(super) fn start(pool: PgPool, log: Log, grown: Grown, tasks: &Supervisor) -> mpsc::Sender<Asked> {
    let (queue, asked) = mpsc::channel(WAITING);
    tasks.spawn_ending("keys", answer_all(Breaker::new(pool), log, grown, asked));
    queue
}

/// Looks a key up in the view. The answer is [`KeyAnswer::Nothing`] at once if too many look-ups are waiting.
pub(super) async fn ask(queue: &mpsc::Sender<Asked>, sending: Sending, end: Option<Uuid>) -> KeyAnswer {
    let (answer, answered) = oneshot::channel();
    // A full queue drops the look-up, and `answered` fails at once: with so many ahead, a wait would be in vain.
    let _ = queue.try_send(Asked { sending, end, answer });
    answered.await.unwrap_or(KeyAnswer::Nothing)
}

async fn answer_all(mut breaker: Breaker, log: Log, grown: Grown, mut asked: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            () = breaker.closes() => {}
            count = asked.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                // A command that no longer listens has got its proof from the log by now, or has given up.
                batch.retain(|asked| !asked.answer.is_closed());
                answer(&mut breaker, &log, &grown, std::mem::take(&mut batch)).await;
            }
        }
    }
}

async fn answer(breaker: &mut Breaker, log: &Log, grown: &Grown, batch: Vec<Asked>) {
    let key = |Asked { sending, end, .. }: &Asked| {
        let hash = client_hash(sending.user, sending.conversation, sending.key.as_str());
        AskedKey { sending: sending.clone(), hash, latest_before: *end }
    };
    let asked: Vec<AskedKey> = batch.iter().map(key).collect();
    let found = breaker.look_up(&asked).await;
    for Asked { sending, end, answer } in batch {
        let known = found.as_ref().map(|found| known(found, log.stream_of(sending.conversation), &sending));
        let pair = sending.pair();
        let latest = found.as_ref().and_then(|found| found.latest.get(&pair));
        if let (Some(KeyAnswer::NewUpTo(reached)), Some(end), Some(latest)) = (known, end, latest) {
            grown.learn(pair, end, latest, reached);
        }
        let _ = answer.send(known.unwrap_or(KeyAnswer::Nothing));
    }
}

/// The part of an answer that is about one key. Two retries of one message may be in one batch, and both get the
/// position.
fn known(found: &FoundKey, stream: usize, sending: &Sending) -> KeyAnswer {
    match found.at.get(sending) {
        Some(position) => KeyAnswer::At(*position),
        None if found.parked.contains(&sending.conversation) => KeyAnswer::Parked,
        None => KeyAnswer::NewUpTo(found.reached.get(&stream).copied().unwrap_or_default()),
    }
}

impl Breaker {
    fn new(pool: PgPool) -> Self {
        let state = State::Closed(views::UsedKeys::new(pool.clone()));
        Self { pool, state }
    }

    /// The answer of the view. `None` if the breaker is not closed, if the views have started over since the last
    /// query, or if the view fails or hangs, which opens the breaker.
    async fn look_up(&mut self, keys: &[AskedKey]) -> Option<FoundKey> {
        let State::Closed(view) = &mut self.state else { return None };
        let why: Unavailable = match timeout(QUERY, view.look_up(keys)).await {
            Ok(Ok(found)) => return found,
            Ok(Err(e)) => Unavailable::because(e),
            Err(_) => Unavailable::because("no answer in time"),
        };
        tracing::warn!(error = %why, "could not look up keys in the views; searching the log for them");
        METRICS.key_breaker.set(1);
        self.state = State::OpenUntil(Instant::now() + OPEN);
        None
    }

    /// Waits until the breaker closes again; for ever if the breaker is closed already. Safe to cancel: an attempt in
    /// flight stays in the state.
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
                        tracing::info!("looking up keys in the views again");
                        METRICS.key_breaker.set(0);
                        self.state = State::Closed(view);
                        return;
                    }
                },
            }
        }
    }
}

/// Queries the view on a new connection, for no key at all.
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
        let id = Uuid::from_u128(7);
        let key = ClientId::try_from(key.to_owned()).expect("a key");
        Sending { conversation: ConversationId::known(id), user: UserId::known(id), key }
    }

    #[test]
    fn the_view_speaks_for_what_it_has_reached_and_not_for_a_conversation_that_stands_still() {
        let mut found = FoundKey {
            at: HashMap::from([(sending("key-of-old"), Position(5))]),
            latest: HashMap::new(),
            reached: HashMap::from([(0, Position(9))]),
            parked: HashSet::new(),
        };
        assert_eq!(known(&found, 0, &sending("key-of-old")), KeyAnswer::At(Position(5)));
        assert_eq!(known(&found, 0, &sending("key-of-new")), KeyAnswer::NewUpTo(Position(9)));
        assert_eq!(known(&found, 1, &sending("key-of-new")), KeyAnswer::NewUpTo(Position::START));
        found.parked.insert(sending("key-of-old").conversation);
        assert_eq!(known(&found, 0, &sending("key-of-old")), KeyAnswer::At(Position(5)));
        assert_eq!(known(&found, 0, &sending("key-of-new")), KeyAnswer::Parked);
    }
}
