//! What every command needs.

use std::sync::Arc;

use crate::{
    clock::Clock,
    commands::{bound::Bound, earlier::Earlier, messages::Messages, receipts::Receipts},
    domain::{ClientId, ConversationId, Event, EventId, UserId},
    live::{Blocked, Conversations},
    log::{Draft, Log},
    telemetry::TraceParent,
};

/// All that commands need. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    /// The log.
    pub log: Log,
    /// The conversations as this process knows them.
    pub conversations: Conversations,
    /// What was sent before.
    pub earlier: Earlier,
    /// Messages as the views have them.
    pub messages: Messages,
    /// How far everybody has got, as far as this process told the log.
    pub receipts: Receipts,
    /// How many conversations somebody may be in.
    pub bound: Bound,
    /// Who has blocked whom.
    pub blocked: Arc<Blocked>,
    /// Time and ids.
    pub clock: Clock,
}

impl Commands {
    pub(super) fn draft(
        &self,
        conversation: ConversationId,
        actor: UserId,
        event: Event,
        key: Option<ClientId>,
    ) -> Draft {
        let id = self.clock.id(EventId::known);
        Draft { conversation, id, actor, time: self.clock.now(), event, key, trace: TraceParent::current() }
    }
}
