//! **Making** it happen: load, decide, append, retry. One file for each thing that people do.
//!
//! The rules are in [`crate::domain`]; here they meet the log. A command answers when its event is
//! stored.

mod conversations;
mod receipts;
mod roster;
mod send;
mod start;
mod tell;

use std::{sync::Arc, time::Duration};

pub use conversations::{Applied, Conversations, Tracked};
pub use receipts::Receipts;
pub use roster::Changed;
pub use send::Sent;
pub use start::Started;

use crate::{
    clock::Clock,
    domain::{ClientId, Command, ConversationId, Event, EventId, Rejection, UserId},
    log::{Conflict, Draft, Log, Unavailable},
};

/// How long a command waits until this process has followed what it has appended itself.
const OWN_EVENT: Duration = Duration::from_secs(2);

/// All that commands need. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    /// The log.
    pub log: Log,
    /// The conversations as this process knows them.
    pub conversations: Conversations,
    /// How far everybody has got, as far as this process told the log.
    pub receipts: Receipts,
    /// Time and ids.
    pub clock: Clock,
}

/// Why a command did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// A rule says no.
    #[error("{0:?}")]
    Rejected(Rejection),
    /// The idempotency key was used before, for something else.
    #[error("the idempotency key was used for another body")]
    Mismatch,
    /// The log cannot answer, or too many change the same roster at once. Worth a retry.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<sqlx::Error> for Refused {
    fn from(e: sqlx::Error) -> Self {
        Self::Unavailable(Unavailable::because(e))
    }
}

impl Refused {
    /// The word for it, the same in REST and in frames.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mismatch => "idempotency_mismatch",
            Self::Unavailable(_) => "unavailable",
            Self::Rejected(rejection) => match rejection {
                Rejection::NotFound => "not_found",
                Rejection::Forbidden => "forbidden",
                Rejection::LastOwner => "last_owner",
                Rejection::DirectIsFixed => "direct_conversation",
                Rejection::WithOneself => "with_oneself",
                Rejection::TooManyMembers => "too_many_members",
                Rejection::AheadOfHead => "ahead_of_head",
                Rejection::NoSuchMember => "no_such_member",
                Rejection::AlreadyStarted => "already_started",
            },
        }
    }

    /// What to do next.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Mismatch => "this idempotency key was used for another body: use a new key",
            Self::Unavailable(_) => "it cannot be stored or looked up now: try again with the same key",
            Self::Rejected(rejection) => match rejection {
                Rejection::NotFound => "there is no such conversation, or you are not in it",
                Rejection::Forbidden => "your role in this conversation does not allow it",
                Rejection::LastOwner => "members need an owner: make somebody else an owner first",
                Rejection::DirectIsFixed => {
                    "a direct conversation has its two members for ever: start a group"
                }
                Rejection::WithOneself => "a direct conversation is with somebody else",
                Rejection::TooManyMembers => "the conversation has as many members as it may have",
                Rejection::AheadOfHead => {
                    "the conversation has not come to that position: use one you were given"
                }
                Rejection::NoSuchMember => "that user is not a member: add them first",
                Rejection::AlreadyStarted => "the conversation has been started before",
            },
        }
    }
}

impl Commands {
    /// The conversation, for somebody who is in it; for all others there is none.
    pub async fn of_member(&self, user: UserId, id: ConversationId) -> Result<Arc<Tracked>, Refused> {
        let tracked = self.conversations.get(id).await?;
        let mine = tracked.filter(|tracked| tracked.conversation().membership(user).is_some());
        mine.ok_or(Refused::Rejected(Rejection::NotFound))
    }

    fn draft(
        &self,
        conversation: ConversationId,
        actor: UserId,
        event: Event,
        key: Option<ClientId>,
    ) -> Draft {
        let id = self.clock.id(EventId::known);
        Draft { conversation, id, actor, time: self.clock.now(), event, key }
    }

    /// Decides on the roster and appends what follows, again if another node was faster. Changes
    /// of one conversation take turns within this process.
    async fn change(&self, by: UserId, id: ConversationId, command: &Command) -> Result<Changed, Refused> {
        const ATTEMPTS: usize = 20;
        let tracked = self.of_member(by, id).await?;
        let _turn = tracked.turn().await;
        for _ in 0..ATTEMPTS {
            let (mut conversation, expected) = tracked.roster();
            let Some(event) = conversation.decide(by, command.clone())? else {
                return Ok(Changed { position: expected, conversation, changed: false });
            };
            let draft = self.draft(id, by, event, None);
            let (at, done) = match self.log.append_roster(&draft, expected).await {
                Ok(position) => (position, true),
                Err(Conflict::Changed(position)) => (position, false),
                Err(Conflict::Unavailable(e)) => return Err(e.into()),
            };
            self.conversations.reached(id, at, OWN_EVENT).await;
            if done {
                Arc::make_mut(&mut conversation).evolve(at, &draft.event);
                return Ok(Changed { position: at, conversation, changed: true });
            }
        }
        Err(Unavailable::because("too many change this roster at once").into())
    }
}
