//! What may be done with a message. The roster does not hold messages: whoever asks has looked the
//! message up and brings it along.

use std::collections::BTreeSet;

use crate::domain::{
    ClientId, Conversation, Emoji, Event, Json, Kind, MessageId, Metadata, Position, Rejection, Role, Text,
    UserId,
    stored::event::{
        MessageDeleted, MessageEdited, MessagePinned, MessageSent, MessageUnpinned, ReactionAdded,
        ReactionRemoved,
    },
};

/// The most different reactions of one member to one message.
pub const MAX_REACTIONS: usize = 20;
/// The most pinned messages of one conversation.
pub const MAX_PINS: u64 = 100;

/// A message that shall be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The id of the new message.
    pub message_id: MessageId,
    /// The sender's idempotency key.
    pub client_id: ClientId,
    /// As typed.
    pub text: Text,
    /// The message that it answers, as the caller has found it.
    pub reply_to: Option<Message>,
    /// What programs added.
    pub metadata: Option<Metadata>,
}

/// A message as whoever wants something of it has found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
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

impl Message {
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
    fn speaks(&self) -> bool {
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

impl Conversation {
    pub(in crate::domain) fn send(&self, by: UserId, new: NewMessage) -> Result<Option<Event>, Rejection> {
        self.role(by)?;
        let NewMessage { message_id, client_id, text, reply_to, metadata } = new;
        if let Some(quoted) = &reply_to {
            self.must_see(by, quoted).map_err(|_| Rejection::NoSuchMessage)?;
            if quoted.deleted {
                return Err(Rejection::MessageDeleted);
            }
        }
        Ok(Some(Event::MessageSent(MessageSent {
            message_id,
            client_id: client_id.into(),
            mentions: self.mentioned(&text),
            text: text.into(),
            reply_to: reply_to.as_ref().map(|quoted| quoted.id),
            reply_to_position: reply_to.as_ref().map(|quoted| quoted.position),
            metadata: metadata.map(Json::from),
        })))
    }

    pub(in crate::domain) fn act(
        &self,
        by: UserId,
        message: Message,
        act: Act,
        client_id: Option<ClientId>,
        blocked: bool,
    ) -> Result<Option<Event>, Rejection> {
        let role = self.must_see(by, &message)?;
        if act.speaks() {
            self.may_speak(by, blocked)?;
        }
        let (message_id, message_position) = (message.id, message.position);
        let client_id = client_id.map(String::from);
        let is_sender = message.sender == by;
        let is_group = self.kind() == Kind::Group;
        let has_charge = is_group && role >= Role::Admin;
        Ok(match act {
            Act::Edit(_) if !is_sender => return Err(Rejection::NotTheSender),
            Act::Delete if !is_sender && !is_group => return Err(Rejection::NotTheSender),
            Act::Delete if !is_sender && !has_charge => return Err(Rejection::Forbidden),
            Act::Pin | Act::Unpin if is_group && !has_charge => return Err(Rejection::Forbidden),
            // Nothing of what was deleted is left to take away.
            Act::Delete | Act::Unreact(_) | Act::Unpin if message.deleted => None,
            Act::Edit(_) | Act::React(_) | Act::Pin if message.deleted => {
                return Err(Rejection::MessageDeleted);
            }
            Act::Edit(text) if text.as_str() == message.text => None,
            Act::Edit(text) => Some(Event::MessageEdited(MessageEdited {
                message_id,
                message_position,
                client_id,
                mentions: self.mentioned(&text),
                text: text.into(),
            })),
            Act::Delete => {
                Some(Event::MessageDeleted(MessageDeleted { message_id, message_position, client_id }))
            }
            Act::React(emoji) if message.mine.contains(emoji.as_str()) => None,
            Act::React(_) if message.mine.len() >= MAX_REACTIONS => return Err(Rejection::TooManyReactions),
            Act::React(emoji) => Some(Event::ReactionAdded(ReactionAdded {
                message_id,
                message_position,
                client_id,
                emoji: emoji.into(),
            })),
            Act::Unreact(emoji) if !message.mine.contains(emoji.as_str()) => None,
            Act::Unreact(emoji) => Some(Event::ReactionRemoved(ReactionRemoved {
                message_id,
                message_position,
                client_id,
                emoji: emoji.into(),
            })),
            Act::Pin if message.pinned => None,
            Act::Pin if message.pins >= MAX_PINS => return Err(Rejection::TooManyPins),
            Act::Pin => Some(Event::MessagePinned(MessagePinned { message_id, message_position, client_id })),
            Act::Unpin if !message.pinned => None,
            Act::Unpin => {
                Some(Event::MessageUnpinned(MessageUnpinned { message_id, message_position, client_id }))
            }
        })
    }

    /// The role of a member who may see the message.
    fn must_see(&self, by: UserId, message: &Message) -> Result<Role, Rejection> {
        let role = self.role(by)?;
        let sees = self.visible_from(by).is_some_and(|from| message.position > from);
        if sees { Ok(role) } else { Err(Rejection::NotFound) }
    }

    /// The members whom a text names as `<@user id>`, each once.
    fn mentioned(&self, text: &Text) -> Vec<UserId> {
        let named = text.as_str().split("<@").skip(1).filter_map(|rest| rest.split_once('>'));
        let members = named.filter_map(|(id, _)| id.parse().ok()).filter(|id| self.membership(*id).is_some());
        members.collect::<BTreeSet<UserId>>().into_iter().collect()
    }
}
