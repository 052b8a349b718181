//! The rules for sending a message, and for acts on a message.

use std::collections::BTreeSet;

use crate::domain::{
    ClientId, Conversation, Event, Json, Kind, MessageId, Rejection, Role, Text, UserId,
    conversation::message::{Act, FoundMessage, MAX_PINS, MAX_REACTIONS, NewMessage},
    stored::event::{
        MessageDeleted, MessageEdited, MessagePinned, MessageSent, MessageUnpinned, ReactionAdded,
        ReactionRemoved,
    },
};

impl Conversation {
    pub(in crate::domain) fn send(
        &self,
        by: UserId,
        message_id: MessageId,
        new: NewMessage,
        quoted: Option<&FoundMessage>,
    ) -> Result<Option<Event>, Rejection> {
        self.role(by)?;
        let NewMessage { client_id, text, reply_to, metadata } = new;
        if reply_to != quoted.map(|quoted| quoted.id) {
            return Err(Rejection::BadReference);
        }
        if quoted.is_some_and(|quoted| quoted.deleted || self.must_see(by, quoted).is_err()) {
            return Err(Rejection::BadReference);
        }
        Ok(Some(Event::MessageSent(MessageSent {
            message_id,
            client_id: client_id.into(),
            mentions: self.mentioned(&text),
            text: text.into(),
            reply_to,
            reply_to_position: quoted.map(|quoted| quoted.position),
            metadata: metadata.map(Json::from),
        })))
    }

    pub(in crate::domain) fn act(
        &self,
        by: UserId,
        message: FoundMessage,
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
            // A deleted message has nothing left to remove, so these acts change nothing.
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

    /// The role of the user, if the user is a member and may see the message.
    fn must_see(&self, by: UserId, message: &FoundMessage) -> Result<Role, Rejection> {
        let role = self.role(by)?;
        let sees = self.visible_from(by).is_some_and(|from| message.position > from);
        if sees && !message.expired { Ok(role) } else { Err(Rejection::NotFound) }
    }

    /// The members mentioned in a text as `<@user id>`, without duplicates.
    fn mentioned(&self, text: &Text) -> Vec<UserId> {
        let named = text.as_str().split("<@").skip(1).filter_map(|rest| rest.split_once('>'));
        let members = named.filter_map(|(id, _)| id.parse().ok()).filter(|id| self.membership(*id).is_some());
        members.collect::<BTreeSet<UserId>>().into_iter().collect()
    }
}
