//! A conversation as it was: folded from its events up to a point, without a row kept for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Emoji, Event, Fold, Json, Membership, MessageId, MessageSent, Position, ReceiptAdvanced, Recorded, Time,
    UserId,
};

/// A point in a conversation's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AsOf {
    /// Up to and with the event at this position.
    Position(Position),
    /// Up to and with the last event whose time is not after this one. Order stays the log's: what
    /// stands before that event belongs to it, whatever its own time says.
    Time(Time),
}

/// A watermark and the time of the event that raised it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// How far.
    pub position: Position,
    /// Since when.
    pub at: Option<Time>,
}

/// How far somebody had got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// What had reached a device.
    pub delivered: Mark,
    /// What had been read.
    pub read: Mark,
}

/// A message as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub sender: UserId,
    /// The sender's idempotency key.
    pub client_id: String,
    /// What it said; nothing once it was deleted.
    pub text: String,
    /// When.
    pub sent_at: Time,
    /// When it had last been edited.
    pub edited_at: Option<Time>,
    /// Who had deleted it, and when.
    pub deleted: Option<(UserId, Time)>,
    /// The message that it answers, and where that stands.
    pub reply_to: Option<(MessageId, Position)>,
    /// What programs had added.
    pub metadata: Option<Json>,
    /// Whom it named.
    pub mentions: Vec<UserId>,
    /// The reactions to it, the first one first.
    pub reactions: Vec<Reacted>,
    /// Whether it was pinned.
    pub pinned: bool,
}

/// Somebody's reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    /// Who.
    pub user: UserId,
    /// With what.
    pub emoji: String,
    /// Where in the log.
    pub position: Position,
    /// When.
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

    /// What remains of it is its place.
    fn delete(&mut self, by: UserId, at: Time) {
        self.text.clear();
        self.mentions.clear();
        self.reactions.clear();
        (self.edited_at, self.metadata, self.pinned) = (None, None, false);
        self.deleted = Some((by, at));
    }
}

/// A conversation as it was at a point.
#[derive(Debug, Clone)]
pub struct Past {
    as_of: AsOf,
    fold: Fold,
    /// When each present member came in.
    joined: BTreeMap<UserId, Time>,
    /// How far everybody has ever got, also who has left: they go on from there if they come back.
    marks: BTreeMap<UserId, Marks>,
    /// By position, by which later events name them.
    messages: BTreeMap<Position, Said>,
    /// Events whose time is after the point: they belong to it if a later one is not.
    beyond: Vec<Recorded>,
}

impl Past {
    /// Before the first event.
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

    /// Takes in the next event of the conversation; whether a later one may still belong to the
    /// point.
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

    /// Who was in it and since when, by id.
    pub fn members(&self) -> impl Iterator<Item = (UserId, Membership, Time)> + '_ {
        let joined = |(user, membership)| Some((user, membership, *self.joined.get(&user)?));
        self.fold.conversation.members().filter_map(joined)
    }

    /// How far somebody had got.
    pub fn marks(&self, user: UserId) -> Marks {
        self.marks.get(&user).copied().unwrap_or_default()
    }

    /// What had been said, by position.
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
                self.messages.insert(*position, Said::of(*actor, sent, *time));
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
                    said.delete(*actor, *time);
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
            // What the fold keeps, what is not kept at all, and what this version does not know.
            Some(Event::ConversationUpdated(_) | Event::MemberRoleChanged(_) | Event::PresenceChanged(_))
            | None => {}
        }
    }

    /// A message to which something can still happen.
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
