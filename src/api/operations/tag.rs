//! The groups of operations.

use poem_openapi::Tags;

/// The groups in which the document shows the operations.
#[derive(Tags)]
pub(in crate::api) enum Tag {
    /// Register and change an account
    Accounts,
    /// Export the caller's own data
    Exports,
    /// Log in, refresh tokens, log out
    Logins,
    /// Find and block users
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
    /// External programs that read the log from NATS
    Consumers,
    /// Erase messages and accounts permanently
    Erasures,
    /// Keep erased content until a legal hold is lifted
    Holds,
    /// Send events to other servers
    Webhooks,
    /// Provision users and conversations of your application, and create tokens for its users
    Provisioning,
    /// The server and its limits
    Server,
}
