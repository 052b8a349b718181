//! Messages and acts on messages. The roster holds no messages: the caller looks up a message and passes it
//! in the command.

use std::collections::BTreeSet;

use crate::domain::{ClientId, Emoji, Event, MessageId, Metadata, Position, Text, UserId};

/// The maximum number of different reactions of one member to one message.
pub(crate) const MAX_REACTIONS: usize = 20;
/// The maximum number of pinned messages of a conversation.
pub(crate) const MAX_PINS: u64 = 100;

/// A message to send, as both edges parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The idempotency key of the sender, which identifies a retry.
    pub client_id: ClientId,
    /// The text, as typed.
    pub text: Text,
    /// The message that this message answers.
    pub reply_to: Option<MessageId>,
    /// The metadata that a program added.
    pub metadata: Option<Metadata>,
}

/// A message as the caller of a command found it in the views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// The id of the message.
    pub id: MessageId,
    /// The position of the message.
    pub position: Position,
    /// The user who sent the message.
    pub sender: UserId,
    /// The current text.
    pub text: String,
    /// Whether the message has been deleted.
    pub deleted: bool,
    /// The emoji of the caller's reactions to the message.
    pub mine: BTreeSet<String>,
    /// Whether the message is pinned.
    pub pinned: bool,
    /// How many messages of the conversation are pinned.
    pub pins: u64,
    /// Whether the message is older than the retention of the conversation, and not pinned.
    pub expired: bool,
}

impl FoundMessage {
    /// A message that does not exist. Its position is before the first event, where no member may see a
    /// message.
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
            expired: false,
        }
    }
}

/// An act on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Replace the text of the message.
    Edit(Text),
    /// Delete the message for all members.
    Delete,
    /// Add a reaction to the message.
    React(Emoji),
    /// Remove the caller's own reaction.
    Unreact(Emoji),
    /// Pin the message.
    Pin,
    /// Remove the pin of the message.
    Unpin,
}

impl Act {
    /// Whether the act shows something new to the other members. A user who may not address the others may
    /// still do the other acts, which only remove something.
    pub(in crate::domain) fn speaks(&self) -> bool {
        matches!(self, Self::Edit(_) | Self::React(_) | Self::Pin)
    }

    /// Whether an event is the result of this act on a message.
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
