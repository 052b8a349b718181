//! The shapes of webhooks.

use std::collections::BTreeMap;

use poem_openapi::{Object, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Few, given, given_word,
        http::{examples, or_null::OrNull, since::SinceValue, values::words},
    },
    credentials::SignatureKind,
    domain::{ConversationId, Time, UserId, WebhookId},
    webhooks::{SeenEndpoint, Shape, Since},
};

/// The maximum number of types, conversations or service accounts of a webhook.
pub(in crate::api) const MOST: usize = 100;

/// The signature scheme
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Signature {
    V1,
    V1a,
}

/// Whether events of a conversation wait for each other
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum Order {
    Conversation,
    None,
}

/// Whether a webhook receives events
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum WebhookState {
    Enabled,
    Disabled,
}

words! {
    /// The signature scheme of Standard Webhooks: `v1` (HMAC-SHA256) or `v1a` (Ed25519)
    Signature as "WebhookSignature": "v1" "v1a";
    /// `conversation`: an event is sent once the previous event of its conversation was accepted or parked; `none`:
    /// events are sent as they come
    Order as "WebhookOrder": "conversation" "none";
    /// Whether a webhook receives events
    WebhookState as "WebhookState": "enabled" "disabled";
}

impl From<Signature> for SignatureKind {
    fn from(signature: Signature) -> Self {
        match signature {
            Signature::V1 => Self::V1,
            Signature::V1a => Self::V1a,
        }
    }
}

/// A new webhook
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
pub(in crate::api) struct NewWebhook {
    /// The URL to which events are sent: https, at most 2,048 bytes, and port 80, 443, or 1024 and above
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: String,
    /// The types of events to send, such as `message.sent`; `*` for all
    types: Few<String, MOST>,
    /// The lanes whose events are sent: `roster`, `timeline`, `receipts`, `control`. The default is all
    #[serde(default, deserialize_with = "given")]
    lanes: Option<Few<String, 8>>,
    /// The conversations whose events are sent. The default is all
    #[serde(default, deserialize_with = "given")]
    conversations: Option<Few<ConversationId, MOST>>,
    /// The service accounts whose events are sent: events that they cause themselves, or that a user causes through
    /// them. The default is all accounts
    #[serde(default, deserialize_with = "given")]
    services: Option<Few<UserId, MOST>>,
    /// Where events begin. The default is `now`
    #[serde(default, deserialize_with = "given")]
    from: Option<SinceValue>,
    /// Whether events of a conversation wait for each other. The default is `conversation`
    #[serde(default, deserialize_with = "given_word")]
    order: Option<Order>,
    /// The signature scheme. The default is `v1`
    #[serde(default, deserialize_with = "given_word")]
    signature: Option<Signature>,
    /// Headers to send with each event, at most ten. Their values cannot be read back
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_properties = "10"))]
    headers: Option<BTreeMap<String, String>>,
    /// Whether events are sent without `data`, which the receiver then reads by REST. The default is false
    #[serde(default, deserialize_with = "given")]
    thin: Option<bool>,
    /// How many requests may be in flight at once: 1 to 64. The default is 16
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "64")))]
    concurrency: Option<u16>,
    /// A description for people, at most 256 bytes
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_length = 256))]
    description: Option<String>,
}

impl NewWebhook {
    /// The settings, the signature scheme and the point at which events begin.
    pub(in crate::api) fn parts(self) -> (Shape, SignatureKind, Since) {
        let shape = Shape {
            url: Some(self.url),
            types: Some(self.types.into_vec()),
            lanes: self.lanes.map(Few::into_vec),
            conversations: self.conversations.map(Few::into_vec),
            services: self.services.map(Few::into_vec),
            is_ordered: self.order.map(|order| order == Order::Conversation),
            is_thin: self.thin,
            concurrency: self.concurrency,
            headers: self.headers.map(|headers| headers.into_iter().collect()),
            description: self.description,
        };
        let from = self.from.map_or(Since::Now, |SinceValue(since)| since);
        (shape, self.signature.unwrap_or(Signature::V1).into(), from)
    }
}

impl Example for NewWebhook {
    fn example() -> Self {
        Self {
            url: URL.into(),
            types: ["message.sent".to_owned(), "message.edited".to_owned()].into_iter().collect(),
            lanes: None,
            conversations: None,
            services: None,
            from: Some(SinceValue(Since::Start)),
            order: Some(Order::Conversation),
            signature: Some(Signature::V1),
            headers: None,
            thin: Some(false),
            concurrency: Some(16),
            description: Some("The search index".into()),
        }
    }
}

const URL: &str = "https://index.example.com/events";

/// The changes to a webhook. Absent fields keep their values; an empty list of lanes, conversations or services means
/// all
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
pub(in crate::api) struct WebhookChanges {
    /// The URL to which events are sent
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: Option<String>,
    /// The types of events to send; `*` for all
    #[serde(default, deserialize_with = "given")]
    types: Option<Few<String, MOST>>,
    /// The lanes whose events are sent
    #[serde(default, deserialize_with = "given")]
    lanes: Option<Few<String, 8>>,
    /// The conversations whose events are sent
    #[serde(default, deserialize_with = "given")]
    conversations: Option<Few<ConversationId, MOST>>,
    /// The service accounts whose events are sent
    #[serde(default, deserialize_with = "given")]
    services: Option<Few<UserId, MOST>>,
    /// Whether events of a conversation wait for each other
    #[serde(default, deserialize_with = "given_word")]
    order: Option<Order>,
    /// All custom headers to send with each event
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_properties = "10"))]
    headers: Option<BTreeMap<String, String>>,
    /// Whether events are sent without `data`
    #[serde(default, deserialize_with = "given")]
    thin: Option<bool>,
    /// How many requests may be in flight at once
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "64")))]
    concurrency: Option<u16>,
    /// A description for people
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(max_length = 256))]
    description: Option<String>,
}

impl From<WebhookChanges> for Shape {
    fn from(changes: WebhookChanges) -> Self {
        Self {
            url: changes.url,
            types: changes.types.map(Few::into_vec),
            lanes: changes.lanes.map(Few::into_vec),
            conversations: changes.conversations.map(Few::into_vec),
            services: changes.services.map(Few::into_vec),
            is_ordered: changes.order.map(|order| order == Order::Conversation),
            is_thin: changes.thin,
            concurrency: changes.concurrency,
            headers: changes.headers.map(|headers| headers.into_iter().collect()),
            description: changes.description,
        }
    }
}

impl Example for WebhookChanges {
    fn example() -> Self {
        Self {
            url: None,
            types: Some(["*".to_owned()].into_iter().collect()),
            lanes: None,
            conversations: None,
            services: None,
            order: None,
            headers: None,
            thin: None,
            concurrency: Some(4),
            description: None,
        }
    }
}

/// A webhook
#[derive(Serialize, Object)]
#[oai(example)]
pub(in crate::api) struct Webhook {
    /// The id of the webhook
    id: WebhookId,
    /// The URL to which events are sent
    url: String,
    /// The types of events to send; `*` for all
    types: Vec<String>,
    /// The lanes whose events are sent; empty for all
    lanes: Vec<String>,
    /// The conversations whose events are sent; empty for all
    conversations: Vec<ConversationId>,
    /// The service accounts whose events are sent; empty for all accounts
    services: Vec<UserId>,
    /// Whether events of a conversation wait for each other
    order: Order,
    /// The signature scheme
    signature: Signature,
    /// The public key with which a receiver verifies `v1a` signatures
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// The names of the custom headers that are sent with each event
    headers: Vec<String>,
    /// Whether events are sent without `data`
    thin: bool,
    /// How many requests may be in flight at once
    concurrency: u16,
    /// A description for people
    description: String,
    /// When the webhook was added
    created_at: Time,
    /// When the previous secret stops signing; null if there is none
    old_expires_at: OrNull<Time>,
    /// Whether the webhook receives events
    state: WebhookState,
    /// Why the webhook is disabled: `operator`, `gone` (the receiver responded with 410) or `failing`; null if it is
    /// enabled
    disabled_reason: OrNull<String>,
    /// When the webhook was disabled
    disabled_at: OrNull<Time>,
    /// Why the node that responds cannot send events to the webhook with its key and its settings; null if it can
    unusable_reason: OrNull<String>,
    /// When attempts began to fail; null if the last one succeeded
    failing_since: OrNull<Time>,
    /// The number of failed attempts since `failing_since`
    failures: u32,
    /// The number of parked events
    parked: u64,
    /// The number of conversations that wait for a retry
    held: u64,
    /// The number of replays in progress
    replays: u64,
    /// The number of stored events that the webhook has yet to receive or skip
    lag_events: u64,
}

impl From<SeenEndpoint> for Webhook {
    fn from(seen: SeenEndpoint) -> Self {
        let SeenEndpoint { stored, public_key, unusable_reason, figures, lag_events } = seen;
        let disabled = stored.disabled;
        Self {
            id: stored.id,
            url: stored.url,
            types: stored.types,
            lanes: stored.lanes,
            conversations: stored.conversations,
            services: stored.services,
            order: if stored.is_ordered { Order::Conversation } else { Order::None },
            signature: if stored.signature == "v1a" { Signature::V1a } else { Signature::V1 },
            public_key,
            headers: stored.header_names,
            thin: stored.is_thin,
            concurrency: stored.concurrency,
            description: stored.description,
            created_at: stored.created_at,
            old_expires_at: OrNull(stored.old_secret.map(|(_, until)| until)),
            state: if disabled.is_some() { WebhookState::Disabled } else { WebhookState::Enabled },
            disabled_at: OrNull(disabled.as_ref().map(|disabled| disabled.at)),
            disabled_reason: OrNull(disabled.map(|disabled| disabled.reason)),
            unusable_reason: OrNull(unusable_reason),
            failing_since: OrNull(stored.failing_since),
            failures: stored.failures,
            parked: figures.parked,
            held: figures.held,
            replays: figures.replays,
            lag_events,
        }
    }
}

impl Example for Webhook {
    fn example() -> Self {
        Self {
            id: examples::webhook(),
            url: URL.into(),
            types: vec!["message.sent".into(), "message.edited".into()],
            lanes: Vec::new(),
            conversations: Vec::new(),
            services: Vec::new(),
            order: Order::Conversation,
            signature: Signature::V1,
            public_key: None,
            headers: vec!["authorization".into()],
            thin: false,
            concurrency: 16,
            description: "The search index".into(),
            created_at: examples::time(),
            old_expires_at: OrNull(Some(examples::time())),
            state: WebhookState::Disabled,
            disabled_reason: OrNull(Some("failing".into())),
            disabled_at: OrNull(Some(examples::time())),
            unusable_reason: OrNull(Some(
                "its secret is encrypted, and VERBATIM_MASTER_KEY_FILE is not set".into(),
            )),
            failing_since: OrNull(Some(examples::time())),
            failures: 3,
            parked: 0,
            held: 1,
            replays: 0,
            lag_events: 12,
        }
    }
}
