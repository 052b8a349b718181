//! An endpoint as it is stored. Its secrets are sealed.

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{ConversationId, Time, UserId, WebhookId};

/// Why and since when an endpoint gets no events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disabled {
    /// Since when.
    pub at: Time,
    /// `operator`, `gone` or `failing`.
    pub reason: String,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEndpoint {
    /// The id.
    pub id: WebhookId,
    /// Where its events are sent.
    pub url: String,
    /// The types of its events, `*` for all.
    pub types: Vec<String>,
    /// The lanes of its events; empty for all.
    pub lanes: Vec<String>,
    /// The conversations of its events; empty for all.
    pub conversations: Vec<ConversationId>,
    /// The service accounts that cause its events; empty for all accounts.
    pub services: Vec<UserId>,
    /// Whether an event waits for the one before it in its conversation.
    pub is_ordered: bool,
    /// Whether the data is left out.
    pub is_thin: bool,
    /// How many requests may be in flight at once.
    pub concurrency: u16,
    /// The kind of its signatures.
    pub signature: String,
    /// A description for people.
    pub description: String,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// The sealed previous secret, and until when it also signs.
    pub old_secret: Option<(Vec<u8>, Time)>,
    /// The sealed headers.
    pub headers: Vec<u8>,
    /// The names of these headers.
    pub header_names: Vec<String>,
    /// When it was added.
    pub created_at: Time,
    /// Why it is disabled, if it is.
    pub disabled: Option<Disabled>,
    /// Since when no attempt has succeeded.
    pub failing_since: Option<Time>,
    /// How many attempts have failed since.
    pub failures: u32,
    /// The fence: the number of its last takeover.
    pub fence: i64,
    /// The number of its last change.
    pub version: i64,
}

#[derive(FromRow)]
pub(super) struct Row {
    id: Uuid,
    url: String,
    types: Vec<String>,
    lanes: Vec<String>,
    conversations: Vec<Uuid>,
    services: Vec<Uuid>,
    is_ordered: bool,
    is_thin: bool,
    concurrency: i16,
    signature: String,
    description: String,
    secret: Vec<u8>,
    old_secret: Option<Vec<u8>>,
    old_until: Option<OffsetDateTime>,
    headers: Vec<u8>,
    header_names: Vec<String>,
    created_at: OffsetDateTime,
    disabled_at: Option<OffsetDateTime>,
    disabled_reason: Option<String>,
    failing_since: Option<OffsetDateTime>,
    failures: i32,
    fence: i64,
    version: i64,
}

impl From<Row> for StoredEndpoint {
    fn from(row: Row) -> Self {
        let disabled = row.disabled_at.map(|at| Disabled {
            at: Time::of(at),
            reason: row.disabled_reason.unwrap_or_else(|| "operator".into()),
        });
        Self {
            id: WebhookId::known(row.id),
            url: row.url,
            types: row.types,
            lanes: row.lanes,
            conversations: row.conversations.into_iter().map(ConversationId::known).collect(),
            services: row.services.into_iter().map(UserId::known).collect(),
            is_ordered: row.is_ordered,
            is_thin: row.is_thin,
            concurrency: row.concurrency.unsigned_abs(),
            signature: row.signature,
            description: row.description,
            secret: row.secret,
            old_secret: row.old_secret.zip(row.old_until.map(Time::of)),
            headers: row.headers,
            header_names: row.header_names,
            created_at: Time::of(row.created_at),
            disabled,
            failing_since: row.failing_since.map(Time::of),
            failures: row.failures.unsigned_abs(),
            fence: row.fence,
            version: row.version,
        }
    }
}
