//! The audit events of erasures, of the legal holds that keep erased content, and of the exports of these holds.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{Epoch, LoginId, Position, Time, UserId};

/// An erasure was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureAsked {
    /// The reason: `request`, `retention`, `expiry` or `moderation`.
    #[schemars(example = &"request")]
    pub reason: String,
    /// The number of messages in the request.
    #[schemars(example = 3)]
    pub messages: u32,
    /// The number of titles in the request; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", example = 1)]
    pub titles: Option<u32>,
    /// What is erased: `content` of the messages and titles, `account`, or `account_and_content`.
    #[schemars(example = &"content")]
    pub scope: String,
    /// The erased account; absent if the erasure is of messages and titles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<UserId>,
    /// When the erasure begins.
    pub starts_at: Time,
}

/// An erasure was cancelled before it began: nothing was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureCancelled {}

/// The content is gone from positions of a stream that an erasure names. An erasure may have several such events,
/// each with some of the positions. A restore does not write these events again, even from an archive that still has
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasurePositions {
    /// The request for the erasure.
    #[schemars(with = "LoginId")]
    pub request_id: Uuid,
    /// The epoch of the log that had the events.
    pub epoch: Epoch,
    /// The stream.
    #[schemars(example = &"CHAT_0")]
    pub stream: String,
    /// The positions, at most 5,000.
    pub positions: Vec<Position>,
}

impl ErasurePositions {
    /// The maximum number of positions of one event, so that it stays below 64 KiB.
    pub const MOST: usize = 5_000;
}

/// An erasure is done: the content is gone from the log at the positions of the messages, of their edits, and of the
/// titles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureDone {
    /// The number of messages.
    #[schemars(example = 3)]
    pub messages: u32,
    /// The number of edits of these messages.
    #[schemars(example = 1)]
    pub edits: u32,
    /// The number of titles; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", example = 1)]
    pub titles: Option<u32>,
}

/// A legal hold was placed: content under it is hidden when it is erased, but not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldPlaced {
    /// The number of users under the hold.
    #[schemars(example = 2)]
    pub users: u32,
    /// The number of conversations under the hold.
    #[schemars(example = 0)]
    pub conversations: u32,
    /// The beginning of the period: the hold keeps no messages from before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// The end of the period: the hold keeps no messages from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

/// A legal hold was lifted: erased content that no other hold keeps is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldLifted {}

/// An export of a legal hold was requested, including content that is hidden from everyone else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportRequested {
    /// The hold.
    #[schemars(with = "LoginId")]
    pub hold_id: Uuid,
}
