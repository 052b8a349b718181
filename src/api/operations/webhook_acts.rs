//! Acts on a webhook: replacing its secret, testing, enabling and disabling it.

use std::time::Duration;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Found, Problem, Reply, Ruled, given,
        http::{examples, or_null::OrNull, values::words},
        operations::{tag::Tag, webhook::Webhook, webhooks::SECRET},
    },
    domain::{Time, WebhookId},
    webhooks::{MAX_ROTATION, ROTATION, Tested, Webhooks},
};

/// How a secret is replaced
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct SecretRotation {
    /// The seconds for which the old secret signs beside the new one: 0 to 604800. The default is 86400
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
    /// The secret by which a receiver checks signatures of the kind `v1`. It is shown this once
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The key by which a receiver checks signatures of the kind `v1a`
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// The time until which the old secret signs too
    old_expires_at: OrNull<Time>,
}

impl Example for RotatedSecret {
    fn example() -> Self {
        let old_expires_at = OrNull(Some(examples::time().plus(ROTATION)));
        Self { id: examples::webhook(), secret: Some(SECRET.into()), public_key: None, old_expires_at }
    }
}

/// The answer of a receiver to a test
#[derive(Serialize, Object)]
#[oai(example)]
struct WebhookTest {
    /// Whether the receiver has taken the event
    ok: bool,
    /// The status of the answer; null if there is none
    status: OrNull<u16>,
    /// Why the event was not taken, as in the delivery log; null if it was
    error: OrNull<String>,
    /// The milliseconds that the request took
    took_ms: u32,
    /// The beginning of the answer: at most 1,024 bytes
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

/// Where an enabled webhook goes on
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EnableFrom {
    Cursor,
    Now,
}

words! {
    /// `cursor`: with the first event that it has not got; `now`: with the next event
    EnableFrom as "EnableFrom": "cursor" "now";
}

pub(in crate::api) struct WebhookActs {
    pub(in crate::api) webhooks: Webhooks,
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookActs {
    /// Replace the secret of a webhook
    ///
    /// Requests are signed by both secrets until the overlap is over, so a receiver can take the new one at any time in
    /// between. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/rotate", method = "post", operation_id = "rotate_webhook")]
    async fn rotate(
        &self,
        caller: Caller,
        id: Path<WebhookId>,
        body: Body<SecretRotation>,
    ) -> Result<Reply<RotatedSecret>, Ruled> {
        let overlap = body.0.overlap_s.map_or(ROTATION, Duration::from_secs);
        if overlap > MAX_ROTATION {
            let detail = format!("both secrets sign for 0 to {} seconds", MAX_ROTATION.as_secs());
            return Err(Problem::invalid("/overlap_s", "out_of_range", detail).into());
        }
        let rotated = self.webhooks.rotate(id.0, overlap, caller.by()).await?;
        Ok(Reply(RotatedSecret {
            id: id.0,
            secret: rotated.secret.map(|secret| secret.to_string()),
            public_key: rotated.seen.public_key,
            old_expires_at: OrNull(rotated.seen.stored.old_secret.map(|(_, until)| until)),
        }))
    }

    /// Test a webhook
    ///
    /// Sends one event of the type `verbatim.webhook.test.v1` to the receiver, and returns its answer. The event belongs to no
    /// conversation and is not tried again. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/test", method = "post", operation_id = "test_webhook")]
    async fn test(&self, _caller: Caller, id: Path<WebhookId>) -> Result<Reply<WebhookTest>, Ruled> {
        Ok(Reply(self.webhooks.test(id.0).await?.into()))
    }

    /// Enable a webhook
    ///
    /// Sends events again, from the first one that the webhook has not got. Events that wait for a retry are due at once, also
    /// if the webhook is enabled already. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/enable", method = "post", operation_id = "enable_webhook")]
    async fn enable(
        &self,
        caller: Caller,
        id: Path<WebhookId>,
        /// Where the webhook goes on. The default is `cursor`
        from: Query<Option<EnableFrom>>,
    ) -> Result<Reply<Webhook>, Found> {
        let is_from_now = from.0 == Some(EnableFrom::Now);
        Ok(Reply(self.webhooks.enable(id.0, is_from_now, caller.by()).await?.into()))
    }

    /// Disable a webhook
    ///
    /// Stops sending within a second or two. The webhook misses nothing: it goes on where it was when it is enabled. Needs the
    /// scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id/disable", method = "post", operation_id = "disable_webhook")]
    async fn disable(&self, caller: Caller, id: Path<WebhookId>) -> Result<Reply<Webhook>, Found> {
        Ok(Reply(self.webhooks.disable(id.0, caller.by()).await?.into()))
    }
}
