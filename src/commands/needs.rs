//! The values that commands take.

use std::sync::Arc;

use sqlx::PgPool;

use crate::{
    clock::Clock,
    commands::{acting, bound::Bound, earlier::Earlier, messages::Messages, stored::Stored},
    domain::{ClientId, ConversationId, Event, EventId, RetentionRules, UserId},
    limits::RateLimits,
    live::{Blocked, Conversations, Current, Receipts},
    log::{Draft, Log},
    supervise::Supervisor,
    telemetry::TraceParent,
    views::Progress,
};

/// Makes changes. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    pub(super) log: Log,
    pub(super) conversations: Conversations,
    pub(super) receipts: Receipts,
    pub(super) blocked: Arc<Blocked>,
    pub(super) earlier: Earlier,
    pub(super) messages: Messages,
    pub(super) stored: Stored,
    pub(super) bound: Bound,
    pub(super) add_strangers: bool,
    /// The rules for how long messages are kept.
    pub retention: RetentionRules,
    pub(super) pool: PgPool,
    pub(super) limits: Arc<RateLimits>,
    pub(super) clock: Clock,
}

/// The parts that [`Commands`] are made of.
pub struct Needs<'a> {
    /// The log to which commands append.
    pub log: Log,
    /// The state that this process keeps current by following the log.
    pub current: &'a Current,
    /// The block lists.
    pub blocked: Arc<Blocked>,
    /// The database of accounts and views.
    pub pool: PgPool,
    /// The progress of the views.
    pub progress: Progress,
    /// The most conversations into which others can bring one user.
    pub conversations_per_user: u32,
    /// Whether users can be brought in by users who share no conversation with them.
    pub add_strangers: bool,
    /// The rules for how long messages are kept.
    pub retention: RetentionRules,
    /// The rate limits.
    pub limits: Arc<RateLimits>,
    /// Time and ids.
    pub clock: Clock,
}

impl Commands {
    /// Starts the tasks that look keys up. The tasks end with the last clone.
    pub fn start(needs: Needs<'_>, tasks: &Supervisor) -> Self {
        let Needs {
            log,
            current,
            blocked,
            pool,
            progress,
            conversations_per_user,
            add_strangers,
            retention,
            limits,
            clock,
        } = needs;
        Self {
            earlier: Earlier::start(
                log.clone(),
                pool.clone(),
                progress.clone(),
                current,
                clock.clone(),
                tasks,
            ),
            conversations: current.conversations.clone(),
            receipts: current.receipts.clone(),
            messages: Messages::new(pool.clone(), progress.clone()),
            stored: Stored::new(pool.clone(), progress),
            bound: Bound::new(pool.clone(), conversations_per_user),
            add_strangers,
            retention,
            pool,
            blocked,
            limits,
            log,
            clock,
        }
    }

    pub(super) fn draft(
        &self,
        conversation: ConversationId,
        actor: UserId,
        event: Event,
        key: Option<ClientId>,
    ) -> Draft {
        Draft {
            conversation,
            id: self.clock.id(EventId::known),
            actor,
            via: acting::via(),
            time: self.clock.now(),
            event,
            key,
            trace: TraceParent::current(),
        }
    }
}
