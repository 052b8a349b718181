//! The groups of operations.

use poem_openapi::Tags;

/// The groups in which the document shows the operations.
#[derive(Tags)]
pub(in crate::api) enum Tag {
    /// Register an account, and change it
    Accounts,
    /// Take the own data along
    Exports,
    /// Log in, refresh tokens, log out
    Logins,
    /// Find users, and block them
    Users,
    /// Direct conversations and groups
    Conversations,
    /// The members of a conversation and their roles
    Members,
    /// Send, read, edit, delete and search messages
    Messages,
    /// How far members have received and read a conversation
    Receipts,
    /// Whether users are online
    Presence,
    /// Follow the events of all conversations
    Events,
    /// Service accounts, which are the accounts of programs, and their API keys
    Services,
    /// Programs of others that read the log from NATS
    Consumers,
    /// Erase messages for good
    Erasures,
    /// Keep what is erased until a legal hold is lifted
    Holds,
    /// Send events to other servers
    Webhooks,
    /// Bring the users and conversations of your application, and make tokens for its users
    Provisioning,
    /// The server and its limits
    Server,
}
