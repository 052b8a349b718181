//! Webhooks: in a process that serves, and for an operator with direct access to the database, the log and the master
//! key.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    accounts::By,
    app::{Addresses, AppError, Process, installation::open_installation},
    clock::Clock,
    config::{NodeRole, Settings},
    credentials::SignatureKind,
    domain::WebhookId,
    log::Log,
    webhooks::{
        self, Delivery, DeliveryState, Keeper, Kept, Range, RotatedEndpoint, SeenEndpoint, Shape, Since,
        WebhookError, Webhooks,
    },
};

/// The maximum number of webhooks, or of deliveries, in a list.
const LISTED: i64 = 1_000;

/// An operator's request.
#[derive(Debug)]
pub(crate) enum AskWebhooks {
    /// Adds a webhook.
    Add { shape: Shape, is_pair: bool, from: Since },
    /// Lists all webhooks.
    List,
    /// Shows a webhook.
    Show(WebhookId),
    /// Replaces the secret of a webhook.
    Rotate(WebhookId, Duration),
    /// Sends a test event.
    Test(WebhookId),
    /// Sends events again.
    Replay(WebhookId, Range),
    /// Lists the parked events.
    Parked(WebhookId),
    /// Enables a webhook, from the point where it stopped or from now on.
    Enable { id: WebhookId, is_from_now: bool },
    /// Disables a webhook.
    Disable(WebhookId),
    /// Removes a webhook.
    Remove(WebhookId),
}

/// The webhooks of a process. Starts the task that delivers events if the process has that role.
pub(super) fn start(
    settings: &Settings,
    log: &Log,
    pool: &PgPool,
    roles: &[NodeRole],
    process: &Process,
) -> Result<(Webhooks, Option<Keeper>), AppError> {
    let sender = settings.webhook_sender(&process.clock)?;
    let keeper = roles.contains(&NodeRole::Webhooks).then(|| {
        let needs = Kept { log: log.clone(), pool: pool.clone(), sender: sender.clone() };
        Keeper::start(needs, &process.tasks, process.stop.clone())
    });
    Ok((Webhooks::new(pool.clone(), log.clone(), sender), keeper))
}

/// Executes an operator's request. The answer has the format of the admin API.
pub(crate) async fn ask_webhooks(
    settings: &Settings,
    addresses: &Addresses,
    ask: AskWebhooks,
) -> Result<Value, AppError> {
    let (pool, log) = open_installation(addresses, settings.layout(), 2).await?;
    let webhooks = Webhooks::new(pool, log, settings.webhook_sender(&Clock::system())?);
    asked(&webhooks, ask).await.map_err(|error| match error {
        WebhookError::Database(outage) => AppError::Database(outage),
        other => AppError::Refused(other.to_string()),
    })
}

async fn asked(webhooks: &Webhooks, ask: AskWebhooks) -> Result<Value, WebhookError> {
    let by = By::default();
    match ask {
        AskWebhooks::Add { shape, is_pair, from } => {
            let kind = if is_pair { SignatureKind::V1a } else { SignatureKind::V1 };
            Ok(with_secret(webhooks.add(shape, kind, from, by).await?))
        }
        AskWebhooks::List => {
            let found = webhooks.list(None, LISTED).await?;
            Ok(json!({ "items": found.iter().map(shown).collect::<Vec<_>>() }))
        }
        AskWebhooks::Show(id) => Ok(shown(&webhooks.find(id).await?)),
        AskWebhooks::Rotate(id, overlap) => {
            let RotatedEndpoint { added, lost_headers } = webhooks.rotate(id, overlap, by).await?;
            let mut answer = with_secret(added);
            answer["lost_headers"] = json!(lost_headers);
            Ok(answer)
        }
        AskWebhooks::Test(id) => {
            let tested = webhooks.test(id).await?;
            Ok(json!({
                "ok": tested.error.is_none(), "status": tested.status, "error": tested.error,
                "took_ms": tested.took_ms, "response": tested.response,
            }))
        }
        AskWebhooks::Replay(id, range) => {
            let begun = webhooks.replay(id, range).await?;
            Ok(json!({ "id": begun.id, "events": begun.events }))
        }
        AskWebhooks::Parked(id) => {
            let parked = Some(DeliveryState::Parked);
            let found = webhooks.deliveries(id, parked, None, None, LISTED).await?;
            Ok(json!({ "items": found.iter().map(delivery).collect::<Vec<_>>() }))
        }
        AskWebhooks::Enable { id, is_from_now } => Ok(shown(&webhooks.enable(id, is_from_now, by).await?)),
        AskWebhooks::Disable(id) => Ok(shown(&webhooks.disable(id, by).await?)),
        AskWebhooks::Remove(id) => webhooks.remove(id, by).await.map(|()| Value::Null),
    }
}

fn shown(seen: &SeenEndpoint) -> Value {
    let SeenEndpoint { stored, public_key, unusable_reason, figures, lag_events } = seen;
    let disabled = stored.disabled.as_ref();
    json!({
        "id": stored.id, "url": stored.url, "state": if disabled.is_some() { "disabled" } else { "enabled" },
        "types": stored.types, "lanes": stored.lanes, "conversations": stored.conversations,
        "services": stored.services, "signature": stored.signature, "public_key": public_key,
        "order": if stored.is_ordered { "conversation" } else { "none" }, "thin": stored.is_thin,
        "concurrency": stored.concurrency, "headers": stored.header_names, "description": stored.description,
        "created_at": stored.created_at, "disabled_at": disabled.map(|disabled| disabled.at),
        "disabled_reason": disabled.map(|disabled| &disabled.reason), "unusable_reason": unusable_reason,
        "failing_since": stored.failing_since,
        "failures": stored.failures, "parked": figures.parked, "held": figures.held, "replays": figures.replays,
        "lag_events": lag_events,
    })
}

fn with_secret(added: webhooks::AddedEndpoint) -> Value {
    let mut answer = shown(&added.seen);
    answer["secret"] = json!(added.secret.as_deref());
    answer["old_expires_at"] = json!(added.seen.stored.old_secret.map(|(_, until)| until));
    answer
}

fn delivery(Delivery { id, made }: &Delivery) -> Value {
    json!({
        "id": id, "event_id": made.event, "conversation_id": made.conversation, "position": made.position,
        "attempt": made.attempt, "at": made.at, "status": made.status, "error": made.error,
        "state": made.state.word(),
    })
}
