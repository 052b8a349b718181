//! Commands, and the reasons for which a conversation refuses them.

use crate::domain::{
    ClientId, History, MessageId, NewMember, Position, Role, Title, UserId,
    conversation::message::{Act, FoundMessage, NewMessage},
    stored::event::ReceiptAdvanced,
};

/// The most members of one conversation.
pub(crate) const MAX_MEMBERS: usize = 10_000;
/// The most members with whom a group begins: they all stand in one event, and the size of an event is
/// limited.
pub(crate) const MAX_FIRST_MEMBERS: usize = 1_000;

/// The wish of a user.
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
        /// The first members; the owner need not be named, and is an owner in any case.
        members: Vec<NewMember>,
    },
    /// Change the title, the history setting or the retention. An absent field keeps its value.
    Update {
        /// The new title.
        title: Option<Title>,
        /// The new setting.
        history: Option<History>,
        /// The seconds for which messages are kept, or none of its own.
        retention: Option<Option<u64>>,
    },
    /// Add a member.
    Add {
        /// The new member.
        user: UserId,
        /// The role of the new member.
        role: Role,
    },
    /// Remove a member, or leave.
    Remove {
        /// The member.
        user: UserId,
    },
    /// Give a member another role.
    ChangeRole {
        /// The member.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// Send a message.
    Send {
        /// The id of the new message.
        message_id: MessageId,
        /// The message.
        new: Box<NewMessage>,
        /// The message that the new message answers, as the caller has found it.
        quoted: Option<Box<FoundMessage>>,
        /// Whether one of the two users of a direct conversation has blocked the other.
        blocked: bool,
    },
    /// Do something to a message.
    Act {
        /// The message, as the caller has found it.
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
        /// The wanted delivery position; `None` keeps the present one.
        delivered: Option<Position>,
        /// The wanted read position; `None` keeps the present one.
        read: Option<Position>,
        /// The present watermarks.
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
    /// The act is allowed for the sender of the message only.
    NotTheSender,
    /// One of two users has blocked the other. Both users get the same answer, which does not tell who has
    /// blocked whom.
    Blocked,
    /// The group would have members and no owner.
    LastOwner,
    /// A direct conversation keeps its two members for ever, and has neither title nor settings.
    DirectIsFixed,
    /// The caller named themselves for a direct conversation.
    WithOneself,
    /// The conversation would have more than [`MAX_MEMBERS`], or begin with more than [`MAX_FIRST_MEMBERS`].
    TooManyMembers,
    /// A new member is in as many conversations already as one user may be.
    TooManyConversations,
    /// The conversation has not reached the position.
    AheadOfHead,
    /// The user whose role would change is not a member.
    NoSuchMember,
    /// The conversation exists already.
    AlreadyStarted,
    /// The message to answer does not exist, or the caller may not see it.
    NoSuchMessage,
    /// The message has been deleted.
    MessageDeleted,
    /// The caller has [`MAX_REACTIONS`](crate::domain::MAX_REACTIONS) different reactions to the message already.
    TooManyReactions,
    /// The conversation has [`MAX_PINS`](crate::domain::MAX_PINS) pinned messages already.
    TooManyPins,
}
