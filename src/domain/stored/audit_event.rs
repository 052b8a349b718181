//! An audit event as the outbox and the stream keep it: the one form in which all floors hand it on.

use serde::Serialize;

use crate::domain::{EventId, Json, Time, UserId};

/// An audit event. Its type may be of a newer version: readers pass it on as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// The id of the event.
    pub id: EventId,
    /// The time of the change, for people to read: the order is the stream's.
    pub time: Time,
    /// The type: `account.created`. The word before the dot is the area.
    #[serde(rename = "type")]
    pub word: String,
    /// Whom or what the event is about: an id, or a hash.
    pub subject: String,
    /// The account that made the change; `None` for an operator on the machine and for Verbatim itself.
    pub actor: Option<UserId>,
    /// The service account through which the actor acted.
    pub via: Option<UserId>,
    /// The data, as they were stored.
    pub data: Json,
}

impl AuditEvent {
    /// The area: `account` of `account.created`.
    pub fn area(&self) -> &str {
        self.word.split_once('.').map_or(&*self.word, |(area, _)| area)
    }
}
