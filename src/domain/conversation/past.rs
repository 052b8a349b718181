//! A conversation as it was at a point. It is folded from its events; no row stores it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Emoji, Event, Fold, Json, Membership, MessageId, MessageSent, Position, ReceiptAdvanced, Recorded, Time,
    UserId,
};

/// A point in the history of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AsOf {
    /// Up to and including the event at this position.
    Position(Position),
    /// Up to and including the last event whose time is not after this time. The order is the order of the
    /// log: all events before that event belong to the point too, whatever their own times are.
    Time(Time),
}

/// A watermark and the time of the event that raised it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The position of the watermark.
    pub position: Position,
    /// The time of the event that raised the watermark; `None` for a watermark that was never raised.
    pub at: Option<Time>,
}

/// The watermarks of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// The watermark of delivery to a device of the user.
    pub delivered: Mark,
    /// The watermark of reading.
    pub read: Mark,
}

/// A message as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The id of the message.
    pub id: MessageId,
    /// The user who sent the message.
    pub sender: UserId,
    /// The idempotency key of the sender.
    pub client_id: String,
    /// The text at the point; empty for a deleted message.
    pub text: String,
    /// The time at which the message was sent.
    pub sent_at: Time,
    /// The time of the last edit; `None` for a deleted message.
    pub edited_at: Option<Time>,
    /// The time at which the message was deleted, and the user who deleted it; `None` for an erased message.
    pub deleted: Option<(Option<UserId>, Time)>,
    /// The message that this message answers, and its position.
    pub reply_to: Option<(MessageId, Position)>,
    /// The metadata that a program added.
    pub metadata: Option<Json>,
    /// The members whom the text mentions.
    pub mentions: Vec<UserId>,
    /// The reactions to the message, the earliest first.
    pub reactions: Vec<Reacted>,
    /// Whether the message was pinned.
    pub pinned: bool,
}

/// A reaction as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    /// The user who reacted.
    pub user: UserId,
    /// The emoji, in the form used to compare emoji.
    pub emoji: String,
    /// The position of the event that added the reaction.
    pub position: Position,
    /// The time of the event that added the reaction.
    pub at: Time,
}

impl Said {
    fn of(sender: UserId, sent: &MessageSent, sent_at: Time) -> Self {
        Self {
            id: sent.message_id,
            sender,
            client_id: sent.client_id.clone(),
            text: sent.text.clone(),
            sent_at,
            edited_at: None,
            deleted: None,
            reply_to: sent.reply_to.zip(sent.reply_to_position),
            metadata: sent.metadata.clone(),
            mentions: sent.mentions.clone(),
            reactions: Vec::new(),
            pinned: false,
        }
    }

    /// Marks the message as deleted and clears its content. Only the id, sender, key, time and `reply_to`
    /// stay.
    fn delete(&mut self, by: Option<UserId>, at: Time) {
        self.text.clear();
        self.mentions.clear();
        self.reactions.clear();
        (self.edited_at, self.metadata, self.pinned) = (None, None, false);
        self.deleted = Some((by, at));
    }

    /// Deletes the message, and clears everything that a deletion keeps and an erasure does not.
    fn erase(&mut self, at: Time) {
        self.delete(None, at);
        self.client_id.clear();
        self.reply_to = None;
    }
}

/// A conversation as it was at a point.
#[derive(Debug, Clone)]
pub struct Past {
    as_of: AsOf,
    fold: Fold,
    /// The time at which each present member joined.
    joined: BTreeMap<UserId, Time>,
    /// The watermarks of all present and former members. A member who comes back continues from the old
    /// watermarks.
    marks: BTreeMap<UserId, Marks>,
    /// The messages by position, because later events name a message by its position.
    messages: BTreeMap<Position, Said>,
    /// Events whose time is after the point. They belong to the point only if the time of a later event is
    /// not after it.
    beyond: Vec<Recorded>,
}

impl Past {
    /// A conversation before its first event, to be folded up to a point.
    pub fn of(as_of: AsOf) -> Self {
        Self {
            as_of,
            fold: Fold::default(),
            joined: BTreeMap::new(),
            marks: BTreeMap::new(),
            messages: BTreeMap::new(),
            beyond: Vec::new(),
        }
    }

    /// Takes the next event of the conversation. Returns whether a later event may still belong to the point.
    pub fn take(&mut self, happened: Recorded) -> bool {
        match self.as_of {
            AsOf::Position(end) if happened.position > end => return false,
            AsOf::Position(_) => self.apply(&happened),
            AsOf::Time(end) if happened.time > end => self.beyond.push(happened),
            AsOf::Time(_) => {
                for earlier in std::mem::take(&mut self.beyond) {
                    self.apply(&earlier);
                }
                self.apply(&happened);
            }
        }
        true
    }

    /// The last position that belongs to the point.
    pub fn position(&self) -> Position {
        match self.as_of {
            AsOf::Position(end) => end,
            AsOf::Time(_) => self.fold.read,
        }
    }

    /// The members at the point, each with the time of joining, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (UserId, Membership, Time)> + '_ {
        let joined = |(user, membership)| Some((user, membership, *self.joined.get(&user)?));
        self.fold.conversation.members().filter_map(joined)
    }

    /// The watermarks of a user at the point.
    pub fn marks(&self, user: UserId) -> Marks {
        self.marks.get(&user).copied().unwrap_or_default()
    }

    /// The messages at the point, by position.
    pub fn messages(&self) -> &BTreeMap<Position, Said> {
        &self.messages
    }

    fn apply(&mut self, happened: &Recorded) {
        let Recorded { position, lane, actor, time, event, .. } = happened;
        if self.fold.apply(*position, *actor, *lane, event.as_ref()).is_none() {
            return;
        }
        match event {
            Some(Event::ConversationCreated(created)) => {
                self.joined = created.members.iter().map(|member| (member.user_id, *time)).collect();
            }
            Some(Event::MemberAdded(added)) => drop(self.joined.insert(added.user_id, *time)),
            Some(Event::MemberRemoved(removed)) => drop(self.joined.remove(&removed.user_id)),
            Some(Event::MessageSent(sent)) => {
                let mut said = Said::of(*actor, sent, *time);
                if let Some(erasure) = &happened.erased {
                    said.erase(erasure.at);
                }
                self.messages.insert(*position, said);
            }
            Some(Event::MessageEdited(edited)) => {
                if let Some(said) = self.undeleted(edited.message_position) {
                    said.text.clone_from(&edited.text);
                    said.mentions.clone_from(&edited.mentions);
                    said.edited_at = Some(*time);
                }
            }
            Some(Event::MessageDeleted(deleted)) => {
                if let Some(said) = self.undeleted(deleted.message_position) {
                    said.delete(Some(*actor), *time);
                }
            }
            Some(Event::ReactionAdded(added)) => {
                let emoji = Emoji::compared(&added.emoji);
                let is_it = |there: &Reacted| there.user == *actor && there.emoji == emoji;
                if let Some(said) = self.undeleted(added.message_position)
                    && !said.reactions.iter().any(is_it)
                {
                    said.reactions.push(Reacted { user: *actor, emoji, position: *position, at: *time });
                }
            }
            Some(Event::ReactionRemoved(removed)) => {
                if let Some(said) = self.undeleted(removed.message_position) {
                    let emoji = Emoji::compared(&removed.emoji);
                    said.reactions.retain(|there| there.user != *actor || there.emoji != emoji);
                }
            }
            Some(Event::MessagePinned(pinned)) => {
                if let Some(said) = self.undeleted(pinned.message_position) {
                    said.pinned = true;
                }
            }
            Some(Event::MessageUnpinned(unpinned)) => {
                if let Some(said) = self.undeleted(unpinned.message_position) {
                    said.pinned = false;
                }
            }
            Some(Event::ReceiptAdvanced(ReceiptAdvanced { delivered, read })) => {
                let marks = self.marks.entry(*actor).or_default();
                marks.delivered.raise(*delivered, *time);
                marks.read.raise(*read, *time);
            }
            Some(Event::ContentErased(erased)) => {
                for entry in &erased.erased {
                    let said = self.messages.get_mut(&entry.position);
                    if let Some(said) = said.filter(|said| said.deleted.is_none_or(|(by, _)| by.is_some())) {
                        said.erase(*time);
                    }
                }
            }
            // The fold keeps the title, the history setting and the roles. Presence is not kept at all.
            // `None` is an event that this version does not know.
            Some(Event::ConversationUpdated(_) | Event::MemberRoleChanged(_) | Event::PresenceChanged(_))
            | None => {}
        }
    }

    /// The message at a position, unless it is deleted: no event changes a deleted message.
    fn undeleted(&mut self, at: Position) -> Option<&mut Said> {
        self.messages.get_mut(&at).filter(|said| said.deleted.is_none())
    }
}

impl Mark {
    fn raise(&mut self, to: Position, at: Time) {
        if to > self.position {
            *self = Self { position: to, at: Some(at) };
        }
    }
}
