//! The audit events of those who read the log from outside: consumers and webhooks.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Time;

/// Examples, as paths: an array in an attribute would need more of the parser of the derive.
const LANES: [&str; 2] = ["roster", "timeline"];
const WEBHOOK_FIELDS: [&str; 2] = ["url", "types"];

/// A consumer of the log was added: somebody else's program reads the log from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerAdded {
    /// The lanes that it reads.
    #[schemars(example = LANES)]
    pub lanes: Vec<String>,
    /// The number of conversations that it reads; absent if it reads all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 3)]
    pub conversations: Option<u32>,
    /// Whether it reads audit events, too.
    #[schemars(example = false)]
    pub reads_audit: bool,
    /// Whether it may give commands.
    #[schemars(example = false)]
    pub gives_commands: bool,
    /// The time at which its credentials end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A consumer got new credentials, and the old ones end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerRotated {
    /// The time at which the old credentials end.
    pub old_expires_at: Time,
}

/// A consumer was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerRemoved {}

/// Events were given to a consumer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumerReplayed {
    /// The number of parked events of which it got copies; absent if it reads anew from an earlier position.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = 1)]
    pub parked: Option<u32>,
}

/// A webhook was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookAdded {
    /// The kind of its signatures: `v1` (HMAC-SHA256) or `v1a` (Ed25519).
    #[schemars(example = &"v1")]
    pub signature: String,
    /// Whether its events carry no data.
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

/// The secret of a webhook was replaced. Both secrets sign until the overlap is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookRotated {
    /// The time from which on the new secret signs alone.
    pub old_expires_at: Time,
}

/// A webhook was disabled: it gets no events until it is enabled again, and misses none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookDisabled {
    /// Why: `operator`, `gone` (it has answered 410) or `failing` (nothing but failures for days).
    #[schemars(example = &"failing")]
    pub reason: String,
}

/// A disabled webhook was enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookEnabled {
    /// Whether it goes on at the present end of the log, without the events that it had not got.
    #[schemars(example = false)]
    pub is_from_now: bool,
}

/// A webhook was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookRemoved {}
