//! Actions on a webhook: replacing its secret, testing, enabling and disabling it.

use std::time::Duration;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        BodyIfAny, Caller, Found, Problem, Reply, Ruled, given,
        http::{examples, or_null::OrNull, values::words},
        operations::{tag::Tag, webhook::Webhook, webhooks::SECRET},
    },
    domain::{Time, WebhookId},
    webhooks::{MAX_ROTATION, ROTATION, RotatedEndpoint, Tested, Webhooks},
};

/// The options of a rotation of a secret
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct SecretRotation {
    /// How long the old secret keeps signing beside the new one, in seconds: 0 to 604800. The default is 86400
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(maximum(value = "604800")))]
    overlap_s: Option<u64>,
}

impl Example for SecretRotation {
    fn example() -> Self {
        Self { overlap_s: Some(3_600) }
    }
}

/// The new secret of a webhook
#[derive(Serialize, Object)]
#[oai(example)]
struct RotatedSecret {
    /// The id of the webhook
    id: WebhookId,
    /// The secret with which a receiver verifies `v1` signatures. Shown only once
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The public key with which a receiver verifies `v1a` signatures
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// When the old secret stops signing; null if it signs no more, because it was encrypted with another master key
    old_expires_at: OrNull<Time>,
    /// The headers that are no longer sent, because they were encrypted with another master key: set them again
    lost_headers: Vec<String>,
}

impl Example for RotatedSecret {
    fn example() -> Self {
        let old_expires_at = OrNull(Some(examples::time().plus(ROTATION)));
        let (id, secret) = (examples::webhook(), Some(SECRET.into()));
        Self { id, secret, public_key: None, old_expires_at, lost_headers: Vec::new() }
    }
}

/// The result of a test
#[derive(Serialize, Object)]
#[oai(example)]
struct WebhookTest {
    /// Whether the receiver accepted the event
    ok: bool,
    /// The HTTP status of the response; null if there was no response
    status: OrNull<u16>,
    /// Why the test failed, as in the delivery log; null if the receiver accepted the event
    error: OrNull<String>,
    /// The duration of the request, in milliseconds
    took_ms: u32,
    /// The beginning of the response: at most 1,024 bytes
    response: String,
}

impl From<Tested> for WebhookTest {
    fn from(tested: Tested) -> Self {
        Self {
            ok: tested.error.is_none(),
            status: OrNull(tested.status),
            error: OrNull(tested.error.map(str::to_owned)),
            took_ms: tested.took_ms,
            response: tested.response,
        }
    }
}

impl Example for WebhookTest {
    fn example() -> Self {
        Self {
            ok: false,
            status: OrNull(Some(503)),
            error: OrNull(Some("http_status".into())),
            took_ms: 31,
            response: "try later".into(),
        }
    }
}

/// Where an enabled webhook continues
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EnableFrom {
    Cursor,
    Now,
}

words! {
    /// `cursor`: from the first event that the webhook has not received; `now`: from the next event
    EnableFrom as "EnableFrom": "cursor" "now";
}

pub(in crate::api) struct WebhookActs {
    pub(in crate::api) webhooks: Webhooks,
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookActs {
    /// Replace the secret of a webhook
    ///
    /// Replaces the secret of a webhook. Requests are signed with both secrets until the overlap ends, so the
    /// receiver can switch at any time in between. An old secret and headers that were encrypted with another master
    /// key are dropped. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/rotate", method = "post", operation_id = "rotate_webhook")]
    async fn rotate(
        &self,
        caller: Caller,
        id: Path<WebhookId>,
        body: BodyIfAny<SecretRotation>,
    ) -> Result<Reply<RotatedSecret>, Ruled> {
        let overlap = body.0.unwrap_or_default().overlap_s.map_or(ROTATION, Duration::from_secs);
        if overlap > MAX_ROTATION {
            let detail = format!("must be 0 to {} seconds", MAX_ROTATION.as_secs());
            return Err(Problem::invalid("/overlap_s", "out_of_range", detail).into());
        }
        let RotatedEndpoint { added, lost_headers } =
            self.webhooks.rotate(id.0, overlap, caller.by()).await?;
        Ok(Reply(RotatedSecret {
            id: id.0,
            secret: added.secret.map(|secret| secret.to_string()),
            public_key: added.seen.public_key,
            old_expires_at: OrNull(added.seen.stored.old_secret.map(|(_, until)| until)),
            lost_headers,
        }))
    }

    /// Test a webhook
    ///
    /// Sends one event of the type `verbatim.webhook.test.v1` to the receiver, and returns its response. The event
    /// belongs to no conversation and is not retried. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/test", method = "post", operation_id = "test_webhook")]
    async fn test(&self, _caller: Caller, id: Path<WebhookId>) -> Result<Reply<WebhookTest>, Ruled> {
        Ok(Reply(self.webhooks.test(id.0).await?.into()))
    }

    /// Enable a webhook
    ///
    /// Enables a webhook, which sends events again, starting with the first one that it has not received. Events that
    /// wait for a retry become due at once, even if the webhook was enabled already. Needs the scope
    /// `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/enable", method = "post", operation_id = "enable_webhook")]
    async fn enable(
        &self,
        caller: Caller,
        id: Path<WebhookId>,
        /// Where the webhook continues. The default is `cursor`
        from: Query<Option<EnableFrom>>,
    ) -> Result<Reply<Webhook>, Found> {
        let is_from_now = from.0 == Some(EnableFrom::Now);
        Ok(Reply(self.webhooks.enable(id.0, is_from_now, caller.by()).await?.into()))
    }

    /// Disable a webhook
    ///
    /// Disables a webhook, which stops sending within a second or two. The webhook misses nothing: once enabled, it
    /// continues where it stopped. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/disable", method = "post", operation_id = "disable_webhook")]
    async fn disable(&self, caller: Caller, id: Path<WebhookId>) -> Result<Reply<Webhook>, Found> {
        Ok(Reply(self.webhooks.disable(id.0, caller.by()).await?.into()))
    }
}
