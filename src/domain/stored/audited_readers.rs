//! The audit events of the external readers of the log: consumers and webhooks.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Time;

/// Examples that the attributes name by path: for an array within an attribute, the derive would need a
/// larger parser.
const LANES: [&str; 2] = ["roster", "timeline"];
const WEBHOOK_FIELDS: [&str; 2] = ["url", "types"];

/// A consumer of the log was added: an external program reads the log from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerAdded {
    /// The lanes that it reads.
    #[schemars(example = LANES)]
    pub lanes: Vec<String>,
    /// The number of conversations that it reads; absent if it reads all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 3)]
    pub conversations: Option<u32>,
    /// Whether it also reads audit events.
    #[schemars(example = false)]
    pub reads_audit: bool,
    /// Whether it may send commands.
    #[schemars(example = false)]
    pub gives_commands: bool,
    /// When its credentials expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A consumer got new credentials, and the old ones expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerRotated {
    /// When the old credentials expire.
    pub old_expires_at: Time,
}

/// A consumer was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerRemoved {}

/// Events were delivered to a consumer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerReplayed {
    /// The number of parked events of which it got copies; absent if it starts reading again from a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1)]
    pub parked: Option<u32>,
}

/// A webhook was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookAdded {
    /// Its signature scheme: `v1` (HMAC-SHA256) or `v1a` (Ed25519).
    #[schemars(example = &"v1")]
    pub signature: String,
    /// Whether its events are sent without data.
    #[schemars(example = false)]
    pub is_thin: bool,
}

/// A webhook was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookChanged {
    /// The names of the changed fields.
    #[schemars(example = WEBHOOK_FIELDS)]
    pub changed: Vec<String>,
}

/// The secret of a webhook was replaced. Both secrets sign until the overlap ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookRotated {
    /// When the old secret stops signing.
    pub old_expires_at: Time,
}

/// A webhook was disabled: it receives no events until it is enabled again, and misses none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookDisabled {
    /// The reason: `operator`, `gone` (the receiver responded with 410) or `failing` (only failures for days).
    #[schemars(example = &"failing")]
    pub reason: String,
}

/// A disabled webhook was enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookEnabled {
    /// Whether it continues at the current end of the log and skips the events that it had not received.
    #[schemars(example = false)]
    pub is_from_now: bool,
}

/// A webhook was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookRemoved {}
