//! What may be done with a message. The roster does not hold messages: whoever asks has looked the
//! message up and brings it along.

use std::collections::BTreeSet;

use crate::domain::{ClientId, Emoji, Event, MessageId, Metadata, Position, Text, UserId};

/// The most different reactions of one member to one message.
pub(crate) const MAX_REACTIONS: usize = 20;
/// The most pinned messages of one conversation.
pub(crate) const MAX_PINS: u64 = 100;

/// A message to send, as both edges parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The sender's idempotency key, by which a retry is known.
    pub client_id: ClientId,
    /// The text, as typed.
    pub text: Text,
    /// The message that this message answers.
    pub reply_to: Option<MessageId>,
    /// The metadata that a program added.
    pub metadata: Option<Metadata>,
}

/// A message as whoever wants something of it has found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it stands.
    pub position: Position,
    /// Who sent it.
    pub sender: UserId,
    /// The text as it is now.
    pub text: String,
    /// Whether it is gone.
    pub deleted: bool,
    /// What the one who asks has reacted with.
    pub mine: BTreeSet<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// How many messages of the conversation are pinned.
    pub pins: u64,
}

impl FoundMessage {
    /// One that is not there: nobody sees it.
    pub fn nowhere(id: MessageId, sender: UserId) -> Self {
        Self {
            id,
            position: Position::START,
            sender,
            text: String::new(),
            deleted: false,
            mine: BTreeSet::new(),
            pinned: false,
            pins: 0,
        }
    }
}

/// What somebody does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Put another text in its place.
    Edit(Text),
    /// Delete it for all.
    Delete,
    /// React to it.
    React(Emoji),
    /// Take a reaction back.
    Unreact(Emoji),
    /// Pin it.
    Pin,
    /// Unpin it.
    Unpin,
}

impl Act {
    /// Whether it puts something before the others; whoever may not do that may still take away.
    pub(in crate::domain) fn speaks(&self) -> bool {
        matches!(self, Self::Edit(_) | Self::React(_) | Self::Pin)
    }

    /// Whether an event is what became of this act upon that message.
    pub fn made(&self, message: MessageId, event: &Event) -> bool {
        match (self, event) {
            (Self::Edit(text), Event::MessageEdited(made)) => {
                made.message_id == message && made.text == text.as_str()
            }
            (Self::Delete, Event::MessageDeleted(made)) => made.message_id == message,
            (Self::React(emoji), Event::ReactionAdded(made)) => {
                made.message_id == message && Emoji::compared(&made.emoji) == emoji.as_str()
            }
            (Self::Unreact(emoji), Event::ReactionRemoved(made)) => {
                made.message_id == message && Emoji::compared(&made.emoji) == emoji.as_str()
            }
            (Self::Pin, Event::MessagePinned(made)) => made.message_id == message,
            (Self::Unpin, Event::MessageUnpinned(made)) => made.message_id == message,
            _ => false,
        }
    }
}
