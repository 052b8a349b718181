//! An audit event as the outbox and the stream keep it. All floors pass it on in this one form.

use serde::Serialize;

use crate::domain::{EventId, Json, Time, UserId};

/// An audit event. Its type may come from a newer version: readers pass it on unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// The id of the event.
    pub id: EventId,
    /// The time of the change, for people to read: the order is the stream's.
    pub time: Time,
    /// The type: `account.created`. The word before the dot is the area.
    #[serde(rename = "type")]
    pub word: String,
    /// The subject of the event: an id or a hash.
    pub subject: String,
    /// The account that made the change; `None` for an operator on the machine and for Verbatim itself.
    pub actor: Option<UserId>,
    /// The service account through which the actor acted.
    pub via: Option<UserId>,
    /// The data as stored.
    pub data: Json,
}

impl AuditEvent {
    /// The area: `account` of `account.created`.
    pub fn area(&self) -> &str {
        self.word.split_once('.').map_or(&*self.word, |(area, _)| area)
    }
}
