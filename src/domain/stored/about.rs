//! What can be asked of an event of any type.

use crate::domain::{Event, UserId};

impl Event {
    /// The users whom the event makes members.
    pub fn brings_in(&self) -> Vec<UserId> {
        match self {
            Self::ConversationCreated(created) => created.members.iter().map(|m| m.user_id).collect(),
            Self::MemberAdded(added) => vec![added.user_id],
            Self::ConversationUpdated(_)
            | Self::MemberRemoved(_)
            | Self::MemberRoleChanged(_)
            | Self::MessageSent(_)
            | Self::MessageEdited(_)
            | Self::MessageDeleted(_)
            | Self::ReactionAdded(_)
            | Self::ReactionRemoved(_)
            | Self::MessagePinned(_)
            | Self::MessageUnpinned(_)
            | Self::ContentErased(_)
            | Self::ReceiptAdvanced(_)
            | Self::PresenceChanged(_) => Vec::new(),
        }
    }

    /// The idempotency key of the actor, if the command had one.
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::MessageSent(sent) => Some(&sent.client_id),
            Self::MessageEdited(edited) => edited.client_id.as_deref(),
            Self::MessageDeleted(deleted) => deleted.client_id.as_deref(),
            Self::ReactionAdded(added) => added.client_id.as_deref(),
            Self::ReactionRemoved(removed) => removed.client_id.as_deref(),
            Self::MessagePinned(pinned) => pinned.client_id.as_deref(),
            Self::MessageUnpinned(unpinned) => unpinned.client_id.as_deref(),
            Self::ConversationUpdated(updated) => updated.client_id.as_deref(),
            Self::MemberAdded(added) => added.client_id.as_deref(),
            Self::MemberRemoved(removed) => removed.client_id.as_deref(),
            Self::MemberRoleChanged(changed) => changed.client_id.as_deref(),
            // The key of a conversation is in its id.
            Self::ConversationCreated(_)
            | Self::ContentErased(_)
            | Self::ReceiptAdvanced(_)
            | Self::PresenceChanged(_) => None,
        }
    }
}
