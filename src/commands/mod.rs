//! **Making** it happen: load, decide, append, retry. One file for each thing that people do.
//!
//! The rules are in [`crate::domain`]; here they meet the log. A command answers when its event is
//! stored.

mod blocks;
mod bound;
mod earlier;
mod members;
mod messages;
mod receipts;
mod roster;
mod send;
mod start;
mod tell;

use std::{sync::Arc, time::Duration};

pub use bound::Bound;
pub use earlier::Earlier;
pub use messages::{Acted, Messages};
pub use receipts::Receipts;
pub use roster::Changed;
pub use send::{NewMessage, Sent};
pub use start::Started;

pub use crate::log::{CONTRACT, Durability, Layout, Unavailable};

use crate::{
    clock::Clock,
    domain::{ClientId, Command, ConversationId, Event, EventId, Rejection, UserId},
    live::{Blocked, Conversations},
    log::{Conflict, Draft, Log, NotAppended},
    telemetry::TraceParent,
};

/// The longest that a request may take; the edges hold it, whatever the waits below add up to. A wait that is
/// over is dropped with the request. What it has given to the log may still be stored: the same key tells.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// How long a command waits until this process has followed what it has appended itself.
const OWN_EVENT: Duration = Duration::from_secs(2);

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

/// Why a command did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// A rule says no.
    #[error("{0:?}")]
    Rejected(Rejection),
    /// The idempotency key was used before, for something else.
    #[error("the idempotency key was used for another body")]
    Mismatch,
    /// The log takes no event of its size.
    #[error("too large for the log")]
    TooLarge,
    /// The log cannot answer, or too many change the same roster at once. Worth a retry.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<NotAppended> for Refused {
    fn from(not: NotAppended) -> Self {
        match not {
            NotAppended::TooLarge => Self::TooLarge,
            NotAppended::Unavailable(outage) => Self::Unavailable(outage),
        }
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Refused {
    /// What clients read of it, at every edge: a word for programs.
    pub fn code(&self) -> &'static str {
        self.said().0
    }

    /// The same for people: what to do next.
    pub fn detail(&self) -> &'static str {
        self.said().1
    }

    fn said(&self) -> (&'static str, &'static str) {
        use Rejection::*;
        match self {
            Self::Rejected(NotFound) => (
                "not_found",
                "There is nothing here that you may see: check the id, and whose token you send.",
            ),
            Self::Rejected(Forbidden) => ("forbidden", "Your role does not allow this: ask an owner."),
            Self::Rejected(NotTheSender) => {
                ("forbidden", "Only the sender of a message may do this: choose a message of your own.")
            }
            // The same for both: which of the two, is not told.
            Self::Rejected(Blocked) => (
                "blocked",
                "One of you has blocked the other: use a group; direct messages between you are not possible.",
            ),
            Self::Rejected(LastOwner) => {
                ("last_owner", "The conversation would have no owner: make another member owner first.")
            }
            Self::Rejected(DirectIsFixed) => {
                ("direct_conversation", "A direct conversation cannot be changed: start a group instead.")
            }
            Self::Rejected(WithOneself) => ("with_oneself", "You named yourself: name another user."),
            Self::Rejected(TooManyMembers) => {
                ("too_many_members", "The conversation is full: a member has to leave first.")
            }
            Self::Rejected(TooManyConversations) => (
                "too_many_conversations",
                "A new member is in too many conversations: this user has to leave a conversation first.",
            ),
            Self::Rejected(AheadOfHead) => (
                "ahead_of_head",
                "The conversation has not reached this position: name a position that you have seen.",
            ),
            Self::Rejected(NoSuchMember) => {
                ("no_such_member", "This user is not a member: add the user first.")
            }
            Self::Rejected(AlreadyStarted) => {
                ("already_started", "This conversation exists already: use the conversation that exists.")
            }
            Self::Rejected(NoSuchMessage) => (
                "no_such_message",
                "The message in `reply_to` does not exist here: name a message of this conversation.",
            ),
            Self::Rejected(MessageDeleted) => {
                ("message_deleted", "The message has been deleted: choose another message.")
            }
            Self::Rejected(TooManyReactions) => {
                ("too_many_reactions", "You have too many reactions to this message: remove one first.")
            }
            Self::Rejected(TooManyPins) => {
                ("too_many_pins", "Too many messages are pinned in this conversation: unpin one first.")
            }
            Self::Mismatch => {
                ("idempotency_mismatch", "This idempotency key was used for another body: choose a new key.")
            }
            Self::TooLarge => {
                ("too_large", "The event is too large for the log: send a shorter text, or less metadata.")
            }
            Self::Unavailable(_) => {
                ("unavailable", "The server cannot do this at the moment: send the same request again.")
            }
        }
    }
}

impl Commands {
    fn draft(
        &self,
        conversation: ConversationId,
        actor: UserId,
        event: Event,
        key: Option<ClientId>,
    ) -> Draft {
        let id = self.clock.id(EventId::known);
        Draft { conversation, id, actor, time: self.clock.now(), event, key, trace: TraceParent::current() }
    }

    /// Decides on the roster and appends what follows, again if another node was faster. Changes
    /// of one conversation take turns within this process.
    async fn change(&self, by: UserId, id: ConversationId, command: &Command) -> Result<Changed, Refused> {
        const ATTEMPTS: usize = 20;
        let tracked = self.of_member(by, id).await?;
        let _turn = tracked.turn().await;
        for _ in 0..ATTEMPTS {
            let (mut conversation, mut expected) = tracked.roster();
            let mut decided = conversation.decide(by, command.clone());
            if !matches!(decided, Ok(Some(_))) {
                // Another node may know better: what is not changed is so in the log.
                self.conversations.catch_up(id).await?;
                (conversation, expected) = tracked.roster();
                decided = conversation.decide(by, command.clone());
            }
            let Some(event) = decided? else {
                return Ok(Changed { position: expected, conversation, changed: false });
            };
            self.must_have_place(by, &event).await?;
            let draft = self.draft(id, by, event, None);
            let (at, done) = match self.log.append_roster(&draft, expected).await {
                Ok(position) => (position, true),
                Err(Conflict::Changed(position)) => (position, false),
                Err(Conflict::NotAppended(e)) => return Err(e.into()),
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
