//! Refusals of commands: a code for programs and a sentence for people.

use crate::{
    domain::Rejection,
    limits::Exceeded,
    log::{NotAppended, Unavailable},
};

/// Why a command was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// A rule of the domain refuses the command.
    #[error("{0:?}")]
    Rejected(Rejection),
    /// The idempotency key was used before, for something else.
    #[error("the idempotency key was used for another body")]
    Mismatch,
    /// The idempotency key was used before, for something that has been erased since.
    #[error("what was done with the idempotency key was erased")]
    Erased,
    /// The event is larger than the log accepts.
    #[error("too large for the log")]
    TooLarge,
    /// A user who shares no conversation with the caller has to accept an invitation first.
    #[error("a stranger has to accept an invitation first")]
    ConsentRequired,
    /// One of the two users has too many open invitations.
    #[error("there are too many open invitations")]
    TooManyInvitations,
    /// A rate limit refuses the command.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// The log cannot answer, or too many commands change the same roster at once. Worth a retry.
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
    /// The code for programs, the same at every edge.
    pub fn code(&self) -> &'static str {
        self.said().0
    }

    /// The sentence for people, with the next step.
    pub fn detail(&self) -> &'static str {
        self.said().1
    }

    fn said(&self) -> (&'static str, &'static str) {
        use Rejection::*;
        match self {
            Self::Rejected(NotFound) => (
                "not_found",
                "There is no such resource, or you may not see it: check the id and the access token.",
            ),
            Self::Rejected(Forbidden) => {
                ("forbidden", "Your role does not allow this: ask an owner of the conversation.")
            }
            Self::Rejected(NotTheSender) => {
                ("forbidden", "Only the sender of a message may do this: choose one of your own messages.")
            }
            // One sentence for both directions: the user must not learn which of the two has blocked the other.
            Self::Rejected(Blocked) => (
                "blocked",
                "One of you has blocked the other: write in a group that you share, or start a group without this user.",
            ),
            Self::Rejected(LastOwner) => {
                ("last_owner", "The conversation would have no owner: make another member an owner first.")
            }
            Self::Rejected(DirectIsFixed) => {
                ("direct_conversation", "A direct conversation cannot be changed: start a group instead.")
            }
            Self::Rejected(WithOneself) => {
                ("with_oneself", "You cannot start a direct conversation with yourself: name another user.")
            }
            Self::Rejected(TooManyMembers) => {
                ("too_many_members", "The conversation is full: remove a member first.")
            }
            Self::Rejected(TooManyConversations) => (
                "too_many_conversations",
                "A new member is in too many conversations and has to leave one first.",
            ),
            Self::Rejected(AheadOfHead) => (
                "ahead_of_head",
                "The conversation has not reached this position: send a position that you have seen.",
            ),
            Self::Rejected(NoSuchMember) => {
                ("no_such_member", "This user is not a member: add the user first.")
            }
            Self::Rejected(AlreadyStarted) => {
                ("already_started", "The conversation exists already: use the existing one.")
            }
            Self::Rejected(BadReference) => (
                "bad_reference",
                "The message in `reply_to` does not exist in this conversation, or was deleted: name another message.",
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
                ("idempotency_mismatch", "The idempotency key was used with another body: choose a new key.")
            }
            Self::Erased => (
                "erased",
                "The content that was sent with this idempotency key was erased and cannot be sent again: choose a new key for new content.",
            ),
            Self::ConsentRequired => (
                "consent_required",
                "You share no conversation with one of these users: start the group without this user, then add the user, who is invited.",
            ),
            Self::TooManyInvitations => (
                "too_many_invitations",
                "You or the user has too many open invitations: wait until some are accepted or expire.",
            ),
            Self::TooLarge => {
                ("too_large", "The event is too large for the log: send a shorter text or less metadata.")
            }
            Self::RateLimited(_) => (
                "rate_limited",
                "You sent too many requests: wait as long as the response says, then send the same again.",
            ),
            Self::Unavailable(_) => (
                "unavailable",
                "The server cannot process the request at the moment: send the same request again.",
            ),
        }
    }
}
