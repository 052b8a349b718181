//! What was done before with the same key, however long ago. JetStream knows the keys of the last two
//! minutes; what is older is looked up in the view, many keys in one query, or in the log itself where
//! the view does not reach or does not answer. The views only tell where: what it was, also if it has
//! been edited or deleted since, is read from the log.
//!
//! That a key is new takes a proof without a gap: the view or a search of the log covers all up to some
//! position of the stream, and behind that position begins what JetStream knows by itself
//! ([`Log::window`]). A view that has not answered after [`VIEW`] is not waited for alone, so a database
//! that hangs or is away costs a conversation one search of the log and not its members their messages.

mod asking;

use std::{pin::pin, time::Duration};

use futures_util::{FutureExt as _, TryFutureExt as _, future::select_ok};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    commands::refused::Refused,
    domain::{ClientId, Position, Recorded, UserId},
    live::Searched,
    log::{Log, Unavailable},
    shares::{Shares, Sizes},
    supervise::Supervisor,
    telemetry::METRICS,
    views::Sending,
};
use asking::{Asked, KeyAnswer};

/// How long a command waits for the view alone.
const VIEW: Duration = Duration::from_millis(250);
/// How long it waits after that.
const SEARCH: Duration = Duration::from_secs(5);

/// Searching conversations for keys: few are read at once, so one user gets half of these turns.
const TO_SEARCH: Sizes = Sizes {
    of_node: Semaphore::MAX_PERMITS,
    of_one: 4,
    waiting_of_one: 508,
    waiting: Semaphore::MAX_PERMITS,
    patience: SEARCH,
};

/// Looks keys up. Cheap to clone.
#[derive(Clone)]
pub(super) struct Earlier {
    log: Log,
    queue: mpsc::Sender<Asked>,
    searched: Searched,
    searches: Shares<UserId>,
}

impl Earlier {
    /// Starts the tasks that look keys up. They end with the last clone.
    pub(super) fn start(log: Log, pool: PgPool, searched: Searched, tasks: &Supervisor) -> Self {
        let queue = asking::start(pool, log.clone(), tasks);
        tasks.spawn_ending("windows", keep(log.clone(), searched.clone(), queue.downgrade()));
        Self { log, queue, searched, searches: Shares::new(TO_SEARCH) }
    }

    /// What was sent or done with this key before the log's window, if there is something.
    pub(super) async fn done(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        let proof = self.proof(&sending).await.inspect_err(|_| count("unknown"))?;
        count(proof.word());
        match proof {
            Proof::NewToView | Proof::NewToLog => Ok(None),
            Proof::InView(position) | Proof::InLog(position) => {
                let first = self.log.at(sending.0, position).await?;
                let first = first.filter(|first| has_key(first, sending.1, &sending.2));
                let lost = || Unavailable::because("the event with a key is not where it should be");
                Ok(Some(first.ok_or_else(lost)?))
            }
        }
    }

    async fn proof(&self, sending: &Sending) -> Result<Proof, Unavailable> {
        let mut view = pin!(self.by_view(sending));
        let proof = match timeout(VIEW, &mut view).await {
            Ok(Ok(proof)) => return Ok(proof),
            Ok(Err(up_to)) => timeout(SEARCH, self.by_log(sending, up_to)).await,
            // A view that is slow for a moment may still be the faster one, or the only one.
            Err(_) => {
                let late = view.map_err(|_| Unavailable::because("the views do not tell of a key"));
                let either = select_ok([late.boxed(), self.by_log(sending, Position::START).boxed()]);
                timeout(SEARCH, either.map_ok(|(proof, _)| proof)).await
            }
        };
        proof.unwrap_or_else(|_| Err(Unavailable::because("a key could not be looked up in time")))
    }

    /// What the view proves; otherwise up to where it knows no such key.
    async fn by_view(&self, sending: &Sending) -> Result<Proof, Position> {
        match asking::ask(&self.queue, sending.clone()).await {
            KeyAnswer::At(position) => Ok(Proof::InView(position)),
            KeyAnswer::NewUpTo(position) if self.is_lately(sending, position) => Ok(Proof::NewToView),
            KeyAnswer::NewUpTo(position) => Err(position),
            KeyAnswer::Nothing => Err(Position::START),
        }
    }

    /// What the log proves of what stands behind a position.
    async fn by_log(&self, sending: &Sending, after: Position) -> Result<Proof, Unavailable> {
        let crowded = |_| Unavailable::because("too many keys of one user are searched for at once");
        let _place = self.searches.take(sending.1).await.map_err(crowded)?;
        match self.searched.look(sending, after).await? {
            (Some(position), _) => Ok(Proof::InLog(position)),
            (None, up_to) if self.is_lately(sending, up_to) => Ok(Proof::NewToLog),
            (None, _) => Err(Unavailable::because("this process is too far behind the log to know a key")),
        }
    }

    /// Whether all that lies behind a position is known to JetStream itself.
    fn is_lately(&self, sending: &Sending, position: Position) -> bool {
        self.log.window(self.log.stream_of(sending.0)).is_some_and(|begins| position >= begins)
    }
}

/// What is known of a key for sure, and from where.
#[derive(Debug, Clone, Copy)]
enum Proof {
    InView(Position),
    InLog(Position),
    NewToView,
    NewToLog,
}

impl Proof {
    /// What the metric calls it.
    fn word(self) -> &'static str {
        match self {
            Self::InView(_) => "in_view",
            Self::InLog(_) => "in_log",
            Self::NewToView => "new_to_view",
            Self::NewToLog => "new_to_log",
        }
    }
}

/// Whether somebody did this with that key.
pub(super) fn has_key(recorded: &Recorded, user: UserId, key: &ClientId) -> bool {
    recorded.actor == user
        && recorded.event.as_ref().and_then(|event| event.client_id()) == Some(key.as_str())
}

fn count(result: &'static str) {
    METRICS.key_look_ups.get_or_create(&[("result", result)]).inc();
}

/// Keeps what is known of the log's window young, and forgets searches that nobody needs any more.
async fn keep(log: Log, searched: Searched, alive: mpsc::WeakSender<Asked>) {
    const OFTEN: Duration = Duration::from_secs(5);
    while alive.upgrade().is_some() {
        log.keep_windows().await;
        searched.forget_what_is_old();
        tokio::time::sleep(OFTEN).await;
    }
}
