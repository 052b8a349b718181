//! An audit event as a message of the stream AUDIT: a CloudEvents 1.0 event in binary mode, like the events of the log.

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;

use crate::{
    domain::{AuditEvent, Json, UserId},
    log::{
        envelope::{MESSAGE_ID, type_name, word},
        public_url::PublicUrl,
    },
};

/// The source of all audit events.
const SOURCE: &str = "/audit";

/// The subject of an event: `audit.<area>.<id>`.
pub fn audit_subject(event: &AuditEvent) -> String {
    format!("audit.{}.{}", event.area(), event.subject)
}

/// The subjects of an area, of an id, or of both.
pub(in crate::log) fn filter(area: Option<&str>, id: Option<&str>) -> String {
    format!("audit.{}.{}", area.unwrap_or("*"), id.unwrap_or("*"))
}

/// The attributes of an event. JetStream recognises a retry by the id of the event.
pub fn audit_headers(event: &AuditEvent, public_url: Option<&PublicUrl>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = type_name(&event.word);
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-source", SOURCE);
    headers.insert("ce-time", event.time.to_string());
    headers.insert("ce-datacontenttype", "application/json");
    if let Some(actor) = event.actor {
        headers.insert("ce-actor", actor.to_string());
    }
    if let Some(via) = event.via {
        headers.insert("ce-via", via.to_string());
    }
    if let Some(url) = public_url {
        headers.insert("ce-dataschema", url.schema(&kind));
    }
    headers.insert("ce-type", kind);
    headers.insert(MESSAGE_ID.clone(), event.id.to_string());
    headers
}

/// Reads a message of the stream; `None` if it is not one of our audit events. Optional attributes that cannot be read
/// are left out, and types that this version does not know are passed on.
pub fn read_audit(subject: &str, headers: Option<&HeaderMap>, data: &Bytes) -> Option<AuditEvent> {
    let mut tokens = subject.split('.');
    let (root, area, id) = (tokens.next()?, tokens.next()?, tokens.next()?);
    let header = |name: &'static str| {
        let value = headers?.get(HeaderName::from_static(name))?;
        Some(value.as_str())
    };
    let user = |name: &'static str| header(name).and_then(|id| id.parse::<UserId>().ok());
    let event = AuditEvent {
        id: header("ce-id")?.parse().ok()?,
        time: header("ce-time")?.parse().ok()?,
        word: word(header("ce-type")?)?.to_owned(),
        subject: id.to_owned(),
        actor: user("ce-actor"),
        via: user("ce-via"),
        data: std::str::from_utf8(data).ok()?.parse::<Json>().ok()?,
    };
    (root == "audit" && tokens.next().is_none() && event.word.starts_with(area)).then_some(event)
}
