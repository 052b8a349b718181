//! What was done before with the same key, however long ago. JetStream knows the keys of the last two
//! minutes; what is older is looked up in the view, many keys in one query, or in the log itself where
//! the view does not reach or does not answer. The views only tell where: what it was, also if it has
//! been edited or deleted since, is read from the log.

use std::{collections::VecDeque, time::Duration};

use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Conversations, Refused};
use crate::{
    domain::{ClientId, Position, UserId},
    log::{DUPLICATE_WINDOW, Log, PAGE, Recorded, Unavailable},
    views::{self, Sending},
};

/// The most look-ups that may wait.
const WAITING: usize = 8_192;
/// The most keys of one query.
const BATCH: usize = 256;
/// How long a look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is noted how far this process has followed the log.
const NOTE: Duration = Duration::from_secs(10);
/// The view has to reach what was followed so long ago: less than the window of JetStream.
const REACH: Duration = Duration::from_secs(80);

/// Looks keys up. Cheap to clone.
#[derive(Clone)]
pub struct Earlier {
    log: Log,
    queue: mpsc::Sender<Asked>,
}

/// A key that somebody asks for.
struct Asked {
    sending: Sending,
    answer: oneshot::Sender<Known>,
}

/// What the view says of a key.
enum Known {
    /// It is there.
    At(Position),
    /// It is not among the messages up to this position of its stream, and all that came later the
    /// log's own window knows.
    New,
    /// It is not among the messages up to this position; what came later is not known.
    NewUpTo(Position),
}

/// How far this process had followed the log, and when.
struct Notes {
    conversations: Conversations,
    followed: VecDeque<(Instant, Vec<Position>)>,
}

impl Earlier {
    /// Starts the task that looks up; it ends with the last of these.
    pub fn start(log: Log, pool: PgPool, conversations: Conversations) -> Self {
        let (queue, asked) = mpsc::channel(WAITING);
        let mut notes = Notes { conversations, followed: VecDeque::new() };
        notes.note();
        tokio::spawn(look_up_all(log.clone(), views::Keys::new(pool), notes, asked));
        Self { log, queue }
    }

    /// What was sent or done with this key before the log's window, if there is something.
    pub(super) async fn done(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        let known = timeout(PATIENCE, self.ask(sending.clone())).await;
        let after = match known.map_err(|_| Unavailable::because("a key cannot be looked up in time"))?? {
            Known::At(position) => {
                let first = self.log.at(sending.0, position).await?;
                let first = first.filter(|first| has_key(first, sending.1, &sending.2));
                let first =
                    first.ok_or_else(|| Unavailable::because("the view has a key that the log has not"));
                return Ok(Some(first?));
            }
            Known::New => return Ok(None),
            Known::NewUpTo(position) => position,
        };
        let scanned = timeout(PATIENCE, self.scan(&sending, after)).await;
        Ok(scanned.map_err(|_| Unavailable::because("the log cannot be searched for a key in time"))??)
    }

    async fn ask(&self, sending: Sending) -> Result<Known, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { sending, answer };
        self.queue.try_send(asked).map_err(|_| Unavailable::because("too many keys are looked up"))?;
        answered.await.map_err(|_| Unavailable::because("the process is stopping"))
    }

    /// Goes through the conversation in the log.
    async fn scan(&self, sending: &Sending, after: Position) -> Result<Option<Recorded>, Unavailable> {
        let (conversation, user, key) = sending;
        let mut replay = self.log.replay(self.log.stream_of(*conversation), after, &[*conversation]).await?;
        let mut found = None;
        loop {
            let page = replay.page(PAGE).await?;
            if page.is_empty() || found.is_some() {
                break;
            }
            found = page.into_iter().find(|recorded| has_key(recorded, *user, key));
        }
        replay.end().await;
        Ok(found)
    }
}

/// Whether somebody did this with that key.
pub(super) fn has_key(recorded: &Recorded, user: UserId, key: &ClientId) -> bool {
    recorded.actor == user && recorded.event.as_ref().and_then(|event| event.client_id()) == Some(key)
}

async fn look_up_all(log: Log, mut keys: views::Keys, mut notes: Notes, mut asked: mpsc::Receiver<Asked>) {
    let mut note = interval(NOTE);
    note.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            _ = note.tick() => notes.note(),
            count = asked.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                answer(&log, &mut keys, &notes, std::mem::take(&mut batch)).await;
            }
        }
    }
}

async fn answer(log: &Log, keys: &mut views::Keys, notes: &Notes, batch: Vec<Asked>) {
    let asked: Vec<&Sending> = batch.iter().map(|asked| &asked.sending).collect();
    let found = keys.look_up(&asked).await.unwrap_or_else(|e| {
        tracing::warn!(error = %e, "keys are searched for in the log: the view does not answer");
        None
    });
    for Asked { sending, answer } in batch {
        let _ = answer.send(match &found {
            Some(views) => what_is_known(log, notes, views, &sending),
            None => Known::NewUpTo(Position::START),
        });
    }
}

/// Two retries of one message may stand in one batch: both are told of it.
fn what_is_known(log: &Log, notes: &Notes, views: &views::Found, sending: &Sending) -> Known {
    let stream = log.stream_of(sending.0);
    let reached = views.reached.get(&stream).copied().unwrap_or_default();
    match views.at.get(sending) {
        Some(position) => Known::At(*position),
        None if views.parked.contains(&sending.0) => Known::NewUpTo(Position::START),
        None if notes.is_lately(stream, reached) => Known::New,
        None => Known::NewUpTo(reached),
    }
}

impl Notes {
    fn note(&mut self) {
        debug_assert!(REACH + NOTE < DUPLICATE_WINDOW, "between them nothing may be forgotten");
        let now = Instant::now();
        self.followed.push_back((now, self.conversations.positions()));
        while self.followed.len() > 1 && now.duration_since(self.followed[1].0) >= REACH {
            self.followed.pop_front();
        }
    }

    /// Whether a position lies within the log's own window. In the beginning all positions do that
    /// came after this process started.
    fn is_lately(&self, stream: usize, position: Position) -> bool {
        let begins = self.followed.front().and_then(|(_, positions)| positions.get(stream));
        begins.is_some_and(|begins| position >= *begins)
    }
}
