//! Events that were stored before with the same idempotency key, however long ago. JetStream itself recognises the keys
//! of the last two minutes. A key that is greater than all that its user has used before is new (`live/grown.rs`).
//! Other keys are looked up in the view, many keys in one query. Where the view does not reach far enough or does not
//! answer, the log is searched. The view and the search only give a position; the event is read from the log, so it is
//! the first one even if the message was edited or deleted since.
//!
//! A key counts as new only by a proof without a gap: the greatest key, the view or a search of the log covers all
//! events up to some position of the stream, and JetStream itself recognises all keys after that position
//! ([`Log::window`]). A command waits for the view alone no longer than [`VIEW`]; from then on, a search of the log
//! runs beside it. So a database that hangs or is down costs a conversation one search of the log, and its members can
//! still send.

mod asking;

use std::{pin::pin, time::Duration};

use futures_util::{FutureExt as _, TryFutureExt as _, future::select_ok};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    clock::Clock,
    commands::{deadlines::OWN_EVENT, refused::Refused},
    domain::{ClientId, Position, Recorded, RecordedKey, UserId},
    live::{Conversations, Current, Grown, Searched},
    log::{Log, Unavailable, client_hash},
    shares::{Shares, Sizes},
    supervise::Supervisor,
    telemetry::METRICS,
    views::{Checkpoint, Progress, Sending},
};
use asking::{Asked, KeyAnswer};

/// How long a command waits for the view alone.
const VIEW: Duration = Duration::from_millis(250);
/// How long a command then waits for a search of the log, and for the view if the view is only late.
const SEARCH: Duration = Duration::from_secs(5);

/// The bounds of searches for keys. A node reads only a few conversations at once, so the searches of one
/// user take at most half of these turns.
const TO_SEARCH: Sizes = Sizes {
    of_node: Semaphore::MAX_PERMITS,
    of_one: 4,
    waiting_of_one: 508,
    waiting: Semaphore::MAX_PERMITS,
    patience: SEARCH,
    longest_rest: Duration::ZERO,
};

/// Looks up which keys were used before. Cheap to clone.
#[derive(Clone)]
pub(super) struct Earlier {
    log: Log,
    queue: mpsc::Sender<Asked>,
    progress: Progress,
    grown: Grown,
    searched: Searched,
    conversations: Conversations,
    clock: Clock,
    searches: Shares<UserId>,
}

impl Earlier {
    /// Starts the tasks that look keys up. The tasks end with the last clone.
    pub(super) fn start(
        log: Log,
        pool: PgPool,
        progress: Progress,
        current: &Current,
        clock: Clock,
        tasks: &Supervisor,
    ) -> Self {
        let Current { conversations, searched, grown, .. } = current.clone();
        let queue = asking::start(pool, log.clone(), grown.clone(), tasks);
        tasks.spawn_ending("windows", keep(log.clone(), searched.clone(), queue.downgrade()));
        Self { log, queue, progress, grown, searched, conversations, clock, searches: Shares::new(TO_SEARCH) }
    }

    /// The event that was stored with this key. `None` proves only that there is no such event before the log's window:
    /// within the window, JetStream itself answers a repeated append with the position of the first one.
    pub(super) async fn done(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        self.found(&sending, Reach::Window).await
    }

    /// The event that was stored with this key, as far as this process has followed the log. `None` proves that there
    /// was none, also within the log's window.
    pub(super) async fn followed(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        let followed = self.checkpoint(&sending);
        // The view is worth a short wait: where it is behind or does not answer, the conversation has to be searched.
        let _ = self.progress.reached(followed, VIEW).await;
        self.found(&sending, Reach::To(followed.position)).await
    }

    /// The event that was stored with this key, for a user who is not a member. Only the view is asked: a search would
    /// take longer where there is a conversation. As long as the view is behind or does not answer, there is no answer,
    /// because the first attempt may be what it would tell. Only a parked conversation is answered like one that does
    /// not exist.
    pub(super) async fn of_former_member(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        let followed = self.checkpoint(&sending);
        if !self.progress.reached(followed, OWN_EVENT).await.map_err(Unavailable::because)? {
            return Err(Unavailable::because("the views lag behind the log").into());
        }
        match timeout(SEARCH, asking::ask(&self.queue, sending.clone(), None)).await {
            Ok(KeyAnswer::At(position)) => self.first(&sending, position).await.map(Some),
            Ok(KeyAnswer::NewUpTo(position)) if position >= followed.position => Ok(None),
            Ok(KeyAnswer::Parked) => Ok(None),
            Ok(KeyAnswer::NewUpTo(_) | KeyAnswer::Nothing) | Err(_) => {
                Err(Unavailable::because("the views do not tell of a key").into())
            }
        }
    }

    /// How far this process has followed the stream of a key.
    fn checkpoint(&self, sending: &Sending) -> Checkpoint {
        let stream = self.log.stream_of(sending.conversation);
        Checkpoint { stream, position: self.conversations.position(stream) }
    }

    async fn found(&self, sending: &Sending, reach: Reach) -> Result<Option<Recorded>, Refused> {
        let proof = self.proof(sending, reach).await.inspect_err(|_| count("unknown"))?;
        count(proof.word());
        match proof {
            Proof::Grown | Proof::NewToView | Proof::NewToLog => Ok(None),
            Proof::InView(position) | Proof::InLog(position) => self.first(sending, position).await.map(Some),
        }
    }

    async fn first(&self, sending: &Sending, position: Position) -> Result<Recorded, Refused> {
        let first = self.log.at(sending.conversation, position).await?;
        let first = first.filter(|first| has_key(first, sending.user, &sending.key));
        Ok(first.ok_or_else(|| Unavailable::because("the event with a key is not where it should be"))?)
    }

    async fn proof(&self, sending: &Sending, reach: Reach) -> Result<Proof, Unavailable> {
        // The position is read before the greatest key, so that the greatest key covers every key up to this position.
        let followed = self.checkpoint(sending).position;
        if self.grown.is_new(sending) && self.reaches(sending, followed, reach) {
            return Ok(Proof::Grown);
        }
        let mut view = pin!(self.by_view(sending, reach));
        let proof = match timeout(VIEW, &mut view).await {
            Ok(Ok(proof)) => return Ok(proof),
            Ok(Err(up_to)) => timeout(SEARCH, self.by_log(sending, up_to, reach)).await,
            // A view that is only late may still answer before the search does, or answer when the search fails.
            Err(_) => {
                let late = view.map_err(|_| Unavailable::because("the views do not tell of a key"));
                let either = select_ok([late.boxed(), self.by_log(sending, Position::START, reach).boxed()]);
                timeout(SEARCH, either.map_ok(|(proof, _)| proof)).await
            }
        };
        proof.unwrap_or_else(|_| Err(Unavailable::because("a key could not be looked up in time")))
    }

    /// The proof of the view. An error is the position up to which the view has no such key. That proves too little, so
    /// the log has to be searched after that position.
    async fn by_view(&self, sending: &Sending, reach: Reach) -> Result<Proof, Position> {
        let end = self.grown.begin(self.log.stream_of(sending.conversation), sending, self.clock.now());
        match asking::ask(&self.queue, sending.clone(), end).await {
            KeyAnswer::At(position) => Ok(Proof::InView(position)),
            KeyAnswer::NewUpTo(position) if self.reaches(sending, position, reach) => Ok(Proof::NewToView),
            KeyAnswer::NewUpTo(position) => Err(position),
            KeyAnswer::Parked | KeyAnswer::Nothing => Err(Position::START),
        }
    }

    /// The proof of a search of the log after a position.
    async fn by_log(&self, sending: &Sending, after: Position, reach: Reach) -> Result<Proof, Unavailable> {
        let crowded = |_| Unavailable::because("too many keys of one user are searched for at once");
        let _place = self.searches.take(sending.user).await.map_err(crowded)?;
        match self.searched.look(sending, after).await? {
            (Some(position), _) => Ok(Proof::InLog(position)),
            (None, up_to) if self.reaches(sending, up_to, reach) => Ok(Proof::NewToLog),
            (None, _) => Err(Unavailable::because("this process is too far behind the log to know a key")),
        }
    }

    /// Whether it is enough to know that there is no such key up to a position.
    fn reaches(&self, sending: &Sending, position: Position, reach: Reach) -> bool {
        match reach {
            Reach::Window => {
                let begins = self.log.window(self.log.stream_of(sending.conversation));
                begins.is_some_and(|begins| position >= begins)
            }
            Reach::To(wanted) => position >= wanted,
        }
    }
}

/// How far a proof has to reach that a key is new.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// As far as the log's window: JetStream itself recognises all keys after that at the append.
    Window,
    /// To this position: nothing is appended.
    To(Position),
}

/// The proof that a key was used, or that it is new, by its source.
#[derive(Debug, Clone, Copy)]
enum Proof {
    Grown,
    InView(Position),
    InLog(Position),
    NewToView,
    NewToLog,
}

impl Proof {
    /// The label of the proof in the metric.
    fn word(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::InView(_) => "in_view",
            Self::InLog(_) => "in_log",
            Self::NewToView => "new_to_view",
            Self::NewToLog => "new_to_log",
        }
    }
}

/// Whether an event is by this user and has this key.
pub(super) fn has_key(recorded: &Recorded, user: UserId, key: &ClientId) -> bool {
    let is_the_same = match recorded.key() {
        Some(RecordedKey::Plain(plain)) => plain == key.as_str(),
        Some(RecordedKey::Erased(hash)) => hash == client_hash(user, recorded.conversation, key.as_str()),
        None => false,
    };
    recorded.actor == user && is_the_same
}

fn count(result: &'static str) {
    METRICS.key_look_ups.get_or_create(&[("result", result)]).inc();
}

/// Keeps the windows of the log fresh, and forgets the searched conversations that no command has asked for
/// in a long time.
async fn keep(log: Log, searched: Searched, alive: mpsc::WeakSender<Asked>) {
    const OFTEN: Duration = Duration::from_secs(5);
    while alive.upgrade().is_some() {
        log.keep_windows().await;
        searched.forget_what_is_old();
        tokio::time::sleep(OFTEN).await;
    }
}
