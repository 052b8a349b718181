//! What was done before with the same key, however long ago. JetStream knows the keys of the last two
//! minutes; what is older is looked up in the view, many keys in one query, or in the log itself where
//! the view does not reach or does not answer. The views only tell where: what it was, also if it has
//! been edited or deleted since, is read from the log.
//!
//! That a key is new takes a proof without a gap: the view or a search of the log covers all up to some
//! position of the stream, and behind that position begins what JetStream knows by itself
//! ([`Log::window`]). No wait for the view is longer than [`VIEW`], so a database that hangs or is away
//! costs a conversation one search of the log and not its members their messages.

mod asking;
mod searched;

use std::time::Duration;

use sqlx::PgPool;
use tokio::{sync::mpsc, time::timeout};

use super::{Conversations, Refused};
use crate::{
    domain::{ClientId, Position, UserId},
    log::{Log, Recorded, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
    views::Sending,
};
use asking::{Asked, Known};
use searched::Searched;

/// How long a command waits for the view.
const VIEW: Duration = Duration::from_millis(250);
/// How long a command waits for a search of the log.
const SEARCH: Duration = Duration::from_secs(5);

/// Looks keys up. Cheap to clone.
#[derive(Clone)]
pub struct Earlier {
    log: Log,
    queue: mpsc::Sender<Asked>,
    searched: Searched,
}

impl Earlier {
    /// Starts the tasks that look up; they end with the last of these.
    pub fn start(log: Log, pool: PgPool, conversations: Conversations, tasks: &Supervisor) -> Self {
        let searched = Searched::new(log.clone(), conversations);
        let queue = asking::start(pool, log.clone(), tasks);
        tasks.spawn_ending("windows", keep(log.clone(), searched.clone(), queue.downgrade()));
        Self { log, queue, searched }
    }

    /// Hears what this process has followed, before it is noted that it has.
    pub fn hear(&self, batch: &[Recorded]) {
        self.searched.hear(batch);
    }

    /// What was sent or done with this key before the log's window, if there is something.
    pub(super) async fn done(&self, sending: Sending) -> Result<Option<Recorded>, Refused> {
        let stream = self.log.stream_of(sending.0);
        let known = timeout(VIEW, asking::ask(&self.queue, sending.clone())).await;
        let after = match known.unwrap_or(Known::NewUpTo(Position::START)) {
            Known::At(position) => {
                count("view_has_it");
                return Ok(Some(self.first(&sending, position).await?));
            }
            Known::NewUpTo(position) if self.is_lately(stream, position) => {
                count("new");
                return Ok(None);
            }
            Known::NewUpTo(position) => position,
        };
        let looked = timeout(SEARCH, self.searched.look(&sending, after)).await;
        let (at, up_to) = looked
            .unwrap_or_else(|_| Err(Unavailable::because("the log cannot be searched for a key in time")))
            .inspect_err(|_| count("unknown"))?;
        if let Some(position) = at {
            count("log_has_it");
            return Ok(Some(self.first(&sending, position).await?));
        }
        if !self.is_lately(stream, up_to) {
            count("unknown");
            return Err(Unavailable::because("this process is too far behind the log to know a key").into());
        }
        count("new_by_the_log");
        Ok(None)
    }

    /// Whether all that lies behind a position is known to JetStream itself.
    fn is_lately(&self, stream: usize, position: Position) -> bool {
        self.log.window(stream).is_some_and(|begins| position >= begins)
    }

    /// The event at a position, which has this key.
    async fn first(&self, sending: &Sending, position: Position) -> Result<Recorded, Unavailable> {
        let first = self.log.at(sending.0, position).await?;
        let first = first.filter(|first| has_key(first, sending.1, &sending.2));
        first.ok_or_else(|| Unavailable::because("the event with a key is not where it should be"))
    }
}

/// Whether somebody did this with that key.
pub(super) fn has_key(recorded: &Recorded, user: UserId, key: &ClientId) -> bool {
    recorded.actor == user && recorded.event.as_ref().and_then(|event| event.client_id()) == Some(key)
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
