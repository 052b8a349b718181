//! Commands, and the reasons why a conversation refuses them.

use crate::domain::{
    ClientId, History, MessageId, NewMember, Position, Role, Title, UserId,
    conversation::message::{Act, FoundMessage, NewMessage},
    stored::event::ReceiptAdvanced,
};

/// The maximum number of members of a conversation.
pub(crate) const MAX_MEMBERS: usize = 10_000;
/// The maximum number of members with which a group starts: one event holds them all, and the size of an event is
/// limited.
pub(crate) const MAX_FIRST_MEMBERS: usize = 1_000;

/// A change that a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start a direct conversation.
    StartDirect {
        /// The other user.
        with: UserId,
        /// Whether one of the two has blocked the other.
        blocked: bool,
    },
    /// Start a group, as its owner.
    StartGroup {
        /// The title of the group.
        title: Title,
        /// The first members. The creator need not be among them, and is the owner in any case.
        members: Vec<NewMember>,
    },
    /// Change the title, the history setting or the retention. An absent field keeps its value.
    Update {
        /// The new title.
        title: Option<Title>,
        /// The new setting.
        history: Option<History>,
        /// The new retention in seconds; `Some(None)` if the group is to have no retention of its own.
        retention: Option<Option<u64>>,
        /// The idempotency key, if there is one.
        client_id: Option<ClientId>,
    },
    /// Add a member.
    Add {
        /// The new member.
        user: UserId,
        /// The role of the new member.
        role: Role,
        /// The idempotency key, if there is one.
        client_id: Option<ClientId>,
    },
    /// Remove a member, or leave.
    Remove {
        /// The member.
        user: UserId,
        /// The idempotency key, if there is one.
        client_id: Option<ClientId>,
    },
    /// Give a member another role.
    ChangeRole {
        /// The member.
        user: UserId,
        /// The new role.
        role: Role,
        /// The idempotency key, if there is one.
        client_id: Option<ClientId>,
    },
    /// Send a message.
    Send {
        /// The id of the new message.
        message_id: MessageId,
        /// The message.
        new: Box<NewMessage>,
        /// The message that the new message answers, as the caller found it.
        quoted: Option<Box<FoundMessage>>,
        /// Whether one of the two users of a direct conversation has blocked the other.
        blocked: bool,
    },
    /// Do something to a message.
    Act {
        /// The message, as the caller found it.
        message: Box<FoundMessage>,
        /// The act.
        act: Act,
        /// The idempotency key, if there is one.
        client_id: Option<ClientId>,
        /// Whether one of the two users of a direct conversation has blocked the other.
        blocked: bool,
    },
    /// Move the watermarks of the caller.
    Advance {
        /// The requested delivery position; `None` keeps the current one.
        delivered: Option<Position>,
        /// The requested read position; `None` keeps the current one.
        read: Option<Position>,
        /// The current watermarks.
        known: ReceiptAdvanced,
        /// The last position of the conversation.
        head: Position,
    },
}

/// The reason why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The caller is not a member, or the conversation does not exist: callers cannot tell which.
    NotFound,
    /// The role of the caller does not allow the command.
    Forbidden,
    /// Only the sender of the message may do this.
    NotTheSender,
    /// One of the two users has blocked the other. Both get the same answer, which does not reveal who blocked whom.
    Blocked,
    /// The group would have members but no owner.
    LastOwner,
    /// A direct conversation keeps its two members forever, and has neither title nor settings.
    DirectIsFixed,
    /// The caller asked for a direct conversation with themselves.
    WithOneself,
    /// The conversation would have more than [`MAX_MEMBERS`], or begin with more than [`MAX_FIRST_MEMBERS`].
    TooManyMembers,
    /// A new member is already in the maximum number of conversations of one user.
    TooManyConversations,
    /// The position is after the head of the conversation.
    AheadOfHead,
    /// The user whose role would change is not a member.
    NoSuchMember,
    /// The conversation already exists.
    AlreadyStarted,
    /// The message to answer does not exist, was deleted, or the caller may not see it: callers cannot tell which.
    BadReference,
    /// The message has been deleted.
    MessageDeleted,
    /// The caller already has [`MAX_REACTIONS`](crate::domain::MAX_REACTIONS) different reactions to the message.
    TooManyReactions,
    /// The conversation already has [`MAX_PINS`](crate::domain::MAX_PINS) pinned messages.
    TooManyPins,
}
