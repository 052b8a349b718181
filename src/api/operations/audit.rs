//! The audit trail.

use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use serde::Serialize;

use crate::{
    api::{Caller, Cursor, Limit, Page, Proven, Reply, http::examples, operations::tag::Tag},
    audit::{Audit, AuditRange, Trail},
    domain::{EventId, Json, Position, Time, UserId},
    problems::Problem,
};

/// A change to an account, a key or an issuer
#[derive(Serialize, Object)]
#[oai(example)]
struct AuditEvent {
    /// The position in the stream `AUDIT`
    position: Position,
    /// The id of the event
    id: EventId,
    /// When the change was made, for display only: positions give the order
    time: Time,
    /// The type, such as `account.created`. The word before the dot is the area
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    kind: String,
    /// The id of the account, key or issuer that the event is about; a hash if it has no id
    subject: String,
    /// The account that made the change; absent if an operator made it on the machine, and for a change that Verbatim
    /// made by itself
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<UserId>,
    /// The service account through which the actor acted
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<UserId>,
    /// The data of the event. The type determines its fields
    data: Json,
}

impl From<Audit> for AuditEvent {
    fn from(Audit { position, event }: Audit) -> Self {
        Self {
            position,
            id: event.id,
            time: event.time,
            kind: event.word,
            subject: event.subject,
            actor: event.actor,
            via: event.via,
            data: event.data,
        }
    }
}

impl Example for AuditEvent {
    fn example() -> Self {
        Self {
            position: Position(17),
            id: examples::event(),
            time: examples::time(),
            kind: "account.updated".into(),
            subject: examples::ana().to_string(),
            actor: Some(examples::ana()),
            via: None,
            data: r#"{"changed":["display_name"]}"#.parse().expect("JSON"),
        }
    }
}

pub(in crate::api) struct AuditTrail {
    pub(in crate::api) trail: Trail,
}

#[OpenApi(tag = "Tag::Server")]
impl AuditTrail {
    /// List audit events
    ///
    /// Lists what has happened to accounts, keys and issuers, oldest first. To wait for more, ask again with the
    /// position of the last event as `after`. Needs any scope `admin:…`.
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the request")]
    #[oai(path = "/admin/audit", method = "get", operation_id = "list_audit_events")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<Position>>>,
        /// Only events after this position
        after: Query<Option<Position>>,
        /// Only events since this time. Ignored with `after`
        since: Query<Option<Time>>,
        /// Only events among this many of the latest positions. Ignored with `after` or `since`
        latest: Query<Option<Limit>>,
        /// Only events of this area: the word before the dot of the type, such as `account`
        #[oai(validator(min_length = 1, max_length = 64))]
        area: Query<Option<String>>,
        /// Only events about this account, key or issuer
        #[oai(validator(min_length = 1, max_length = 64))]
        id: Query<Option<String>>,
    ) -> Result<Reply<Page<AuditEvent>>, Proven> {
        let mut after = cursor.0.map(|end| end.0).or(after.0);
        if let (None, None, Some(latest)) = (after, since.0, latest.0) {
            after = Some(self.trail.before_latest(latest.get()).await?);
        }
        let range = AuditRange {
            after: after.unwrap_or_default(),
            since: since.0,
            area: token("area", area.0)?,
            id: token("id", id.0)?,
        };
        let found = self.trail.page(&range, limit.0.get()).await?;
        let next = found.next.map(|end| Cursor(end).to_string());
        Ok(Reply(Page::of(found.events.into_iter().map(AuditEvent::from).collect(), next)))
    }
}

/// Checks a parameter that becomes a token of a NATS subject.
fn token(name: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    match value {
        Some(value) if !AuditRange::can_have(&value) => {
            let detail = "must be 1 to 64 letters, digits, `_` and `-`";
            Err(Problem::parameter(name, "forbidden_character", detail))
        }
        value => Ok(value),
    }
}
