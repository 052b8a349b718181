//! The audit events of erasures.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Time;

/// An erasure was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureAsked {
    /// Why: `request`, `retention`, `expiry` or `moderation`.
    #[schemars(example = &"request")]
    pub reason: String,
    /// The number of messages that were named.
    #[schemars(example = 3)]
    pub messages: u32,
    /// What is erased: `content` of the messages.
    #[schemars(example = &"content")]
    pub scope: String,
    /// The time at which the erasure begins.
    pub starts_at: Time,
}

/// An erasure is done: the log has nothing any more at the positions of the messages and of their edits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureDone {
    /// The number of messages.
    #[schemars(example = 3)]
    pub messages: u32,
    /// The number of edits of these messages.
    #[schemars(example = 1)]
    pub edits: u32,
}
