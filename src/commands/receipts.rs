//! How far everybody has got: watermarks that only rise, told to the log at most once a second for
//! each user and conversation.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::{Instant, sleep_until};

use super::{Commands, OWN_EVENT, Refused};
use crate::{
    domain::{Command, ConversationId, Event, Position, ReceiptAdvanced, UserId},
    log::Unavailable,
    views,
};

/// The shortest time between two receipts of one user in one conversation.
const PAUSE: Duration = Duration::from_secs(1);
/// From so many remembered watermarks on, those that nobody has moved for a minute are forgotten.
const REMEMBERED: usize = 100_000;

/// The watermarks that this process has told the log. Cheap to clone.
#[derive(Clone)]
pub struct Receipts {
    pool: PgPool,
    told: Arc<Mutex<HashMap<Of, Arc<Entry>>>>,
}

/// Whose watermarks, and where.
type Of = (ConversationId, UserId);

struct Entry {
    /// What has been asked for but may not be told yet.
    wanted: Mutex<ReceiptAdvanced>,
    /// What has been told; whoever holds it is the one who tells.
    told: tokio::sync::Mutex<Told>,
}

#[derive(Clone, Copy)]
struct Told {
    known: ReceiptAdvanced,
    at: Option<Instant>,
}

impl Receipts {
    /// Knows none yet; the view is asked for what was told before.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, told: Arc::default() }
    }

    async fn stored(&self, id: ConversationId, user: UserId) -> Result<ReceiptAdvanced, Unavailable> {
        views::watermarks(&self.pool, id, user).await.map_err(Unavailable::because)
    }

    fn entry(&self, of: Of) -> Option<Arc<Entry>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(&of).cloned()
    }

    fn begin(&self, of: Of, known: ReceiptAdvanced) -> Arc<Entry> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.told.try_lock().is_ok_and(recent));
        }
        let told = tokio::sync::Mutex::new(Told { known, at: None });
        all.entry(of).or_insert_with(|| Arc::new(Entry { wanted: Mutex::new(known), told })).clone()
    }
}

fn recent(told: tokio::sync::MutexGuard<'_, Told>) -> bool {
    told.at.is_some_and(|at| at.elapsed() < Duration::from_secs(60))
}

impl Commands {
    /// Moves the caller's watermarks up; going back is a no-op. Answers when the log has it, which
    /// takes up to a second when receipts come fast.
    pub async fn advance(
        &self,
        by: UserId,
        id: ConversationId,
        delivered: Option<Position>,
        read: Option<Position>,
    ) -> Result<(), Refused> {
        let tracked = self.of_member(by, id).await?;
        let farthest = delivered.max(read).unwrap_or_default();
        if farthest > tracked.head() {
            self.conversations.reached(id, farthest, OWN_EVENT).await;
        }
        let entry = match self.receipts.entry((id, by)) {
            Some(entry) => entry,
            None => self.receipts.begin((id, by), self.receipts.stored(id, by).await?),
        };
        let mine = {
            let mut wanted = entry.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let command = Command::Advance { delivered, read, known: *wanted, head: tracked.head() };
            if let Some(Event::ReceiptAdvanced(more)) = tracked.conversation().decide(by, command)? {
                *wanted = more;
            }
            *wanted
        };
        let mut told = entry.told.lock().await;
        if told.known.read >= mine.read && told.known.delivered >= mine.delivered {
            return Ok(());
        }
        if let Some(at) = told.at {
            sleep_until(at + PAUSE).await;
        }
        let latest = *entry.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = self.draft(id, by, Event::ReceiptAdvanced(latest), None);
        self.log.append(&draft).await?;
        *told = Told { known: latest, at: Some(Instant::now()) };
        Ok(())
    }
}
