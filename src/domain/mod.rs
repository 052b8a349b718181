//! Decides what **may** happen: pure rules over plain values, without a clock, randomness or waiting.
//!
//! [`Conversation::decide`] turns a command into at most one event, and [`Conversation::evolve`] applies an
//! event. All other types are the vocabulary of these two functions.

mod conversation;
mod stored;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use conversation::aggregate::{Conversation, Membership, Titled};
#[cfg(test)]
pub(crate) use conversation::command::MAX_FIRST_MEMBERS;
pub(crate) use conversation::command::{Command, MAX_MEMBERS, Rejection};
pub use conversation::fold::Fold;
pub(crate) use conversation::fold::Snapshot;
pub(crate) use conversation::message::{Act, FoundMessage, MAX_PINS, MAX_REACTIONS, NewMessage};
pub use conversation::past::{AsOf, Mark, Marks, Past, Reacted, Said};
pub use stored::audit_event::AuditEvent;
pub use stored::audited::{
    AccountCreated, AccountErased, AccountField, AccountRestored, AccountSuspended, AccountUpdated,
    AuditSubject, AuditType, Audited, InviteCreated, InviteRevoked, IssuerAdded, IssuerRemoved, KeyCreated,
    KeyRevoked, KeyRotated, LogRestored, LoginFailed, LoginRevoked, Origin, RecoveryIssued, RevokedBy,
};
pub use stored::audited_erasures::{
    ErasureAsked, ErasureCancelled, ErasureDone, ErasurePositions, ExportRequested, HoldLifted, HoldPlaced,
};
pub use stored::audited_readers::{
    ConsumerAdded, ConsumerRemoved, ConsumerReplayed, ConsumerRotated, WebhookAdded, WebhookChanged,
    WebhookDisabled, WebhookEnabled, WebhookRemoved, WebhookRotated,
};
pub use stored::erased::{ContentErased, ErasedEntry, Erasure};
pub use stored::event::{
    ConversationCreated, ConversationUpdated, Event, EventType, History, Kind, MemberAdded, MemberRemoved,
    MemberRoleChanged, MessageDeleted, MessageEdited, MessagePinned, MessageSent, MessageUnpinned, NewMember,
    PresenceChanged, ReactionAdded, ReactionRemoved, ReceiptAdvanced, Role, Status,
};
pub use stored::lane::Lane;
pub use stored::recorded::{Recorded, RecordedKey};
pub(crate) use stored::shapes::{name_models, shapes_by_type};
pub(crate) use stored::skeleton::data_without_title;
pub use words::emoji::Emoji;
pub use words::host::{ExternalId, HostRole};
pub use words::ids::{
    ConversationId, Epoch, ErasureId, EventId, ExportId, HoldId, LoginId, MessageId, NotAnId, Point,
    Position, UserId,
};
pub(crate) use words::joiners::belongs_to_emoji;
pub(crate) use words::json::Fields;
pub use words::json::Json;
pub use words::metadata::Metadata;
pub(crate) use words::retention::LONGEST_RETENTION;
pub use words::retention::RetentionRules;
pub(crate) use words::schema::{schema_of_read, schema_of_written, sign_integers};
pub(crate) use words::text::not_in_a_name;
pub use words::text::{BadText, ClientId, Text, Title};
pub use words::time::Time;
pub use words::user_kind::UserKind;
pub use words::webhook::{ReplayId, WebhookId};
pub use words::word::word;
