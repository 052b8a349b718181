//! The audit events of erasures, of the legal holds that keep what was erased, and of the exports of what they keep.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{Epoch, LoginId, Position, Time, UserId};

/// An erasure was requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureAsked {
    /// Why: `request`, `retention`, `expiry` or `moderation`.
    #[schemars(example = &"request")]
    pub reason: String,
    /// The number of messages that were named.
    #[schemars(example = 3)]
    pub messages: u32,
    /// The number of titles that were named, if there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", example = 1)]
    pub titles: Option<u32>,
    /// What is erased: `content` of the messages and titles, `account`, or `account_and_content`.
    #[schemars(example = &"content")]
    pub scope: String,
    /// The account that is erased, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<UserId>,
    /// The time at which the erasure begins.
    pub starts_at: Time,
}

/// An erasure was cancelled before its time: nothing was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureCancelled {}

/// The log has nothing any more at positions of a stream that an erasure names. Several events of an erasure may each list some.
/// A restore writes none of these events again, also from an archive in which they still stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasurePositions {
    /// The request for the erasure.
    #[schemars(with = "LoginId")]
    pub request_id: Uuid,
    /// The epoch of the log in which the events stood.
    pub epoch: Epoch,
    /// The stream.
    #[schemars(example = &"CHAT_0")]
    pub stream: String,
    /// The positions, at most 5,000.
    pub positions: Vec<Position>,
}

impl ErasurePositions {
    /// The most positions of one event, so that it stays below 64 KiB.
    pub const MOST: usize = 5_000;
}

/// An erasure is done: the log has nothing any more at the positions of the messages, of their edits, and of the titles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErasureDone {
    /// The number of messages.
    #[schemars(example = 3)]
    pub messages: u32,
    /// The number of edits of these messages.
    #[schemars(example = 1)]
    pub edits: u32,
    /// The number of titles, if there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", example = 1)]
    pub titles: Option<u32>,
}

/// A legal hold was placed: what it names is hidden when it is erased, and not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldPlaced {
    /// The number of users whom the hold names.
    #[schemars(example = 2)]
    pub users: u32,
    /// The number of conversations that the hold names.
    #[schemars(example = 0)]
    pub conversations: u32,
    /// The first time of the messages that the hold keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// The time from which on the hold keeps no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
}

/// A legal hold was lifted: what was erased and kept by this hold alone is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HoldLifted {}

/// Somebody has asked for an export of what a legal hold keeps, also of what is hidden from everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportRequested {
    /// The hold.
    #[schemars(with = "LoginId")]
    pub hold_id: Uuid,
}
