//! The audit trail: appending audit events, each exactly once, and reading them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    domain::{AuditEvent, EventId, Position, Time},
    log::{
        Log, OpenError, Unavailable,
        audited::{audit_headers, audit_subject, filter, read_audit},
        errors,
        limits::REQUEST_TIMEOUT,
        read::look_up::Found,
        streams::{
            audit::audit,
            layout::{self, AUDIT},
        },
        write::publish::{self, Refused},
    },
};

/// The most events that are looked up or read at once.
pub(crate) const AUDIT_PAGE: usize = 256;
/// The most bytes of a page.
const PAGE_BYTES: usize = 1 << 20;

/// An audit event with its position in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// The position.
    pub position: Position,
    /// The event.
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// A part of the audit events.
#[derive(Debug)]
pub(crate) struct AuditPage {
    /// The events. Messages that are not audit events are left out.
    pub events: Vec<Audit>,
    /// The position up to which the stream was read.
    pub end: Position,
    /// The same, if there may be more events after it.
    pub next: Option<Position>,
}

/// The events to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditRange {
    /// Only events after this position.
    pub after: Position,
    /// Only events that the stream has stored since this time. It applies only without a position.
    pub since: Option<Time>,
    /// Only events of this area.
    pub area: Option<String>,
    /// Only events about this id.
    pub id: Option<String>,
}

impl AuditRange {
    /// Whether a text can be an area or an id. Both are tokens of a subject, and with any other character they would match
    /// no event, or too many.
    pub(crate) fn can_have(text: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        (1..=64).contains(&text.len()) && text.chars().all(is_plain)
    }
}

/// The last event of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastAudit {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub id: EventId,
}

/// Why an audit event was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAudited {
    /// The last event of the subject is not the expected one.
    #[error("another event about the same subject was stored meanwhile")]
    Overtaken,
    /// The stream does not answer, or refuses.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Log {
    /// Creates the stream of audit events, unless it exists.
    pub(crate) async fn make_audit(&self) -> Result<(), OpenError> {
        self.maker.create(audit(self.layout)).await
    }

    /// The position of the last audit event; `None` if the stream does not exist.
    pub(crate) async fn last_audit(&self) -> Result<Option<Position>, OpenError> {
        match self.jetstream.get_stream(AUDIT).await {
            Ok(stream) => Ok(Some(Position(stream.cached_info().state.last_sequence))),
            Err(e) if layout::is_not_found(e.kind()) => Ok(None),
            Err(e) => Err(errors::refused(e)),
        }
    }

    /// The last event about the subject of each of these events, by subject. A lagging replica may answer with an
    /// earlier one: [`Log::append_audit`] then refuses.
    pub(crate) async fn last_audits(
        &self,
        events: &[&AuditEvent],
    ) -> Result<HashMap<String, LastAudit>, Unavailable> {
        let subjects: Vec<String> = events.iter().copied().map(audit_subject).collect();
        let found = self.direct_of(AUDIT, &json!({ "multi_last": subjects })).await?;
        let last = |Found { subject, position, message }: Found| {
            let id = crate::log::envelope::id(message.headers.as_ref());
            (subject, LastAudit { position, id })
        };
        Ok(found.into_iter().map(last).collect())
    }

    /// Appends an audit event, provided that the last event about the same subject is still the one at `expected`
    /// ([`Position::START`]: there is none).
    pub(crate) async fn append_audit(
        &self,
        event: &AuditEvent,
        expected: Position,
    ) -> Result<Position, NotAudited> {
        let mut headers = audit_headers(event, self.public_url.as_deref());
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        let payload = event.data.as_str().to_owned().into();
        let until = Instant::now() + REQUEST_TIMEOUT;
        match publish::send(&self.client, audit_subject(event), headers, payload, until).await {
            Ok(answer) => Ok(Position(answer.seq)),
            Err(Refused::WrongLast) => Err(NotAudited::Overtaken),
            Err(refused) => Err(Unavailable::because(refused).into()),
        }
    }

    /// A page of audit events in the order of the stream, at most `limit`.
    pub(crate) async fn audits(&self, range: &AuditRange, limit: usize) -> Result<AuditPage, Unavailable> {
        let limit = limit.min(AUDIT_PAGE);
        let mut request = json!({
            "next_by_subj": filter(range.area.as_deref(), range.id.as_deref()),
            "batch": limit,
            "max_bytes": PAGE_BYTES,
        });
        match range.since.filter(|_| range.after == Position::START) {
            Some(since) => request["start_time"] = since.to_string().into(),
            None => request["seq"] = (range.after.0 + 1).into(),
        }
        let found = self.direct_of(AUDIT, &request).await?;
        let bytes: usize = found.iter().map(|found| found.message.length).sum();
        let is_full = found.len() == limit || bytes >= PAGE_BYTES / 2;
        let end = found.last().map_or(range.after, |last| last.position);
        let read = |Found { subject, position, message }: Found| {
            let event = read_audit(&subject, message.headers.as_ref(), &message.payload)?;
            Some(Audit { position, event })
        };
        let events = found.into_iter().filter_map(read).collect();
        Ok(AuditPage { events, end, next: is_full.then_some(end) })
    }
}
