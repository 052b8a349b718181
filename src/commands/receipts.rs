//! How far everybody has got: watermarks that only rise, told to the log at most once a second for
//! each user and conversation.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    commands::{Commands, OWN_EVENT, Refused},
    domain::{Command, ConversationId, Event, Position, ReceiptAdvanced, UserId},
    live::Kept,
    log::Unavailable,
    views::{self, Checkpoint, Progress},
};

/// The shortest time between two receipts of one user in one conversation.
const PAUSE: Duration = Duration::from_secs(1);
/// So many watermarks are remembered while nobody moves them.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process knows to be in the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts {
    pool: PgPool,
    progress: Progress,
    told: Arc<Mutex<Kept<Of, Entry>>>,
}

/// Whose watermarks, and where.
type Of = (ConversationId, UserId);

struct Entry {
    marks: Mutex<Marks>,
    /// When it was last told; whoever holds it is the one who tells.
    turn: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct Marks {
    /// What has been asked for; more than what is told, it may not be told yet.
    wanted: ReceiptAdvanced,
    /// What the log has.
    told: ReceiptAdvanced,
    /// Up to where it is known to have it.
    at: Position,
}

impl Receipts {
    /// Knows none yet; the view is asked for what was told before.
    pub fn new(pool: PgPool, progress: Progress) -> Self {
        let told = Arc::new(Mutex::new(Kept::new(REMEMBERED)));
        Self { pool, progress, told }
    }

    /// Hears what the log has, from whichever node. Two nodes that tell at the same moment may still
    /// tell the lower one last: readers keep the greatest.
    pub fn hear(&self, id: ConversationId, user: UserId, at: Position, receipt: ReceiptAdvanced) {
        if let Some(entry) = self.entry((id, user)) {
            let mut marks = entry.marks();
            marks.told = higher(marks.told, receipt);
            marks.wanted = higher(marks.wanted, receipt);
            marks.at = marks.at.max(at);
        }
    }

    /// What the view has, which is given a moment to come to what this process has followed: what
    /// comes later is heard.
    async fn stored(
        &self,
        id: ConversationId,
        user: UserId,
        followed: Checkpoint,
    ) -> Result<ReceiptAdvanced, Unavailable> {
        self.progress.reached(followed, OWN_EVENT).await.map_err(Unavailable::because)?;
        match timeout(OWN_EVENT, views::watermarks(&self.pool, id, user)).await {
            Ok(stored) => stored.map_err(Unavailable::because),
            Err(_) => Err(Unavailable::because("the views do not answer in time")),
        }
    }

    fn told(&self) -> MutexGuard<'_, Kept<Of, Entry>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, of: Of) -> Option<Arc<Entry>> {
        self.told().get(&of)
    }

    fn begin(&self, of: Of, told: ReceiptAdvanced) -> Arc<Entry> {
        let marks = Marks { wanted: told, told, at: Position::START };
        let entry = || Entry { marks: Mutex::new(marks), turn: tokio::sync::Mutex::default() };
        self.told().get_or_insert_with(of, entry)
    }
}

impl Entry {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn higher(one: ReceiptAdvanced, other: ReceiptAdvanced) -> ReceiptAdvanced {
    ReceiptAdvanced { delivered: one.delivered.max(other.delivered), read: one.read.max(other.read) }
}

impl Commands {
    /// Moves the caller's watermarks up; going back is a no-op. Answers when the log has it, which
    /// takes up to a second when receipts come fast, and up to where it has it.
    pub async fn advance(
        &self,
        by: UserId,
        id: ConversationId,
        delivered: Option<Position>,
        read: Option<Position>,
    ) -> Result<Position, Refused> {
        let tracked = self.of_member(by, id).await?;
        let farthest = delivered.max(read).unwrap_or_default();
        if farthest > tracked.head() {
            self.conversations.reached(id, farthest, OWN_EVENT).await;
        }
        let entry = match self.receipts.entry((id, by)) {
            Some(entry) => entry,
            None => {
                let stream = self.log.stream_of(id);
                let position = self.conversations.positions()[stream];
                let stored = self.receipts.stored(id, by, Checkpoint { stream, position }).await?;
                self.receipts.begin((id, by), stored)
            }
        };
        let mine = {
            let mut marks = entry.marks();
            let command = Command::Advance { delivered, read, known: marks.wanted, head: tracked.head() };
            if let Some(Event::ReceiptAdvanced(more)) = tracked.conversation().decide(by, command)? {
                marks.wanted = more;
            }
            marks.wanted
        };
        let mut turn = entry.turn.lock().await;
        let Marks { told, at, .. } = *entry.marks();
        if higher(told, mine) == told {
            return Ok(at.max(tracked.head()));
        }
        if let Some(told_at) = *turn {
            sleep_until(told_at + PAUSE).await;
        }
        let latest = entry.marks().wanted;
        let draft = self.draft(id, by, Event::ReceiptAdvanced(latest), None);
        let position = self.log.append(&draft).await?.position;
        *turn = Some(Instant::now());
        self.receipts.hear(id, by, position, latest);
        Ok(position)
    }
}
