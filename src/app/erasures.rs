//! Erasures and legal holds: in a serving process, in the eraser, and in the commands for an operator.

use std::{convert::Infallible, time::Duration};

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::sleep;

pub(crate) use crate::erasures::Leftover;
use crate::{
    accounts::{self, By, erasures as requests},
    app::{Addresses, AppError, Process, installation::open_installation, same_log},
    clock::Clock,
    commands,
    config::{ErasingSettings, NodeRole, Settings},
    domain::{ConversationId, ErasureId, HoldId, RetentionRules, Time, Title, UserId},
    erasures::{
        DECIDED, Eraser, ErasureError, ErasureReceipt, Erasures, Expiring, Hiding, HoldError, HoldSubjects,
        LegalHold, MOST_SUBJECTS, WantedHold, leftover,
    },
    log::{Log, NotMirrored},
    views::Progress,
};

/// The commands of an operator for legal holds.
#[derive(Debug)]
pub(crate) enum AskHolds {
    /// Places a hold, on users or on conversations.
    Place {
        name: Title,
        users: Vec<UserId>,
        conversations: Vec<ConversationId>,
        from: Option<Time>,
        to: Option<Time>,
    },
    /// Lists the latest holds.
    List,
    /// Lifts a hold.
    Lift(HoldId),
}

/// The maximum number of erasures or holds in a list.
const LISTED: i64 = 1_000;
/// The pause before an eraser connects to its servers again.
const PAUSE: Duration = Duration::from_secs(5);

// Erasures wait for the edits that were being decided. They do not import the commands.
const _: () = assert!(DECIDED.as_secs() >= commands::DEADLINE.as_secs());

impl From<ErasureError> for AppError {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::Database(outage) => Self::Database(outage),
            ErasureError::Unavailable(outage) => Self::Log(outage),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<HoldError> for AppError {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Database(outage) => Self::Database(outage),
            HoldError::Unavailable(outage) => Self::Log(outage),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// The erasures of a process. With the role `api`, the process also hides the content of due requests and requests the
/// erasure of expired messages.
pub(super) fn start(
    log: &Log,
    pool: &PgPool,
    progress: &Progress,
    rules: RetentionRules,
    roles: &[NodeRole],
    process: &Process,
) -> Erasures {
    let (log, pool, clock) = (log.clone(), pool.clone(), process.clock.clone());
    let erasures = Erasures { pool: pool.clone(), log: log.clone(), clock: clock.clone() };
    if roles.contains(&NodeRole::Api) {
        let hiding = Hiding { log, pool, progress: progress.clone(), clock };
        process.tasks.spawn("erasures", hiding.clone().run());
        process.tasks.spawn("late content", hiding.look_for_late());
        process.tasks.spawn("retention", Expiring { erasures: erasures.clone(), rules }.run());
    }
    erasures
}

/// Runs the eraser until the future is dropped. `addresses` must have the credentials of the NATS user that may delete.
pub(crate) async fn erase(settings: &Settings, addresses: &Addresses) -> Result<Infallible, AppError> {
    let (pool, log) = loop {
        match open_installation(addresses, settings.layout(), 2).await {
            Ok(opened) => break opened,
            Err(error) if error.passes() => tracing::warn!(%error, "could not start the eraser; retrying"),
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    };
    for name in settings.erasing.mirrors.names.iter() {
        match log.mirror(name).await {
            Err(NotMirrored::NoMirror(why)) => return Err(AppError::Refused(why)),
            // The eraser can start without a mirror that is away: the receipts wait for it.
            Err(NotMirrored::Away(_)) | Ok(_) => {}
        }
    }
    tracing::info!("erasing from the log");
    let ErasingSettings { erase_rate: rate, mirrors } = settings.erasing.clone();
    let eraser = Eraser { log: log.clone(), pool, clock: Clock::system(), rate, mirrors: mirrors.names };
    tokio::select! {
        never = eraser.run() => Ok(never),
        replaced = same_log::replaced(&log) => Err(replaced),
    }
}

/// Runs the eraser beside other roles. It retries after any error instead of ending the process, and so waits for
/// servers that are away.
pub(crate) async fn erase_patiently(settings: &Settings, addresses: &Addresses) -> Infallible {
    loop {
        let Err(error) = erase(settings, addresses).await;
        tracing::warn!(%error, "the eraser has stopped; starting it again");
        sleep(PAUSE).await;
    }
}

/// How long the oldest due erasure has waited to be hidden or deleted from the log; `None` if none waits.
pub(crate) async fn erasure_waiting(pool: &PgPool) -> Result<Option<Duration>, AppError> {
    Ok(accounts::oldest_erasure(pool).await?)
}

/// The latest erasures or one of them, as the admin API shows them.
pub(crate) async fn show_erasures(
    settings: &Settings,
    addresses: &Addresses,
    id: Option<ErasureId>,
) -> Result<Value, AppError> {
    let (pool, log) = open_installation(addresses, settings.layout(), 2).await?;
    let erasures = Erasures { pool, log, clock: Clock::system() };
    Ok(match id {
        Some(id) => shown(&erasures.find(id).await?),
        None => json!({ "items": erasures.list(LISTED).await?.iter().map(shown).collect::<Vec<_>>() }),
    })
}

/// Reads every hidden position of an erasure again; `None` if a replica of the log is offline or behind.
pub(crate) async fn verify_erasure(
    settings: &Settings,
    addresses: &Addresses,
    id: ErasureId,
) -> Result<Option<Leftover>, AppError> {
    let (pool, log) = open_installation(addresses, settings.layout(), 2).await?;
    let erasure = requests::find(&pool, id).await?.ok_or(ErasureError::NotFound)?;
    if erasure.hidden_at.is_none() {
        return Err(AppError::Refused("nothing of this erasure is hidden yet: wait for its time".into()));
    }
    Ok(leftover(&log, &settings.erasing.mirrors.names, &pool, &erasure).await?)
}

/// Runs a command of an operator. The result looks as in the admin API.
pub(crate) async fn ask_holds(
    settings: &Settings,
    addresses: &Addresses,
    ask: AskHolds,
) -> Result<Value, AppError> {
    let (pool, log) = open_installation(addresses, settings.layout(), 2).await?;
    let erasures = Erasures { pool, log, clock: Clock::system() };
    let by = By::default();
    match ask {
        AskHolds::Place { users, conversations, .. }
            if users.len().max(conversations.len()) > MOST_SUBJECTS =>
        {
            Err(AppError::Refused(format!(
                "a hold names at most {MOST_SUBJECTS} users or conversations: place several"
            )))
        }
        AskHolds::Place { name, users, conversations, from, to } => {
            let of = match users.is_empty() {
                false => HoldSubjects::Users(users.into_iter().collect()),
                true => HoldSubjects::Conversations(conversations.into_iter().collect()),
            };
            Ok(shown_hold(&erasures.place_hold(WantedHold { name, of, from, to }, by).await?))
        }
        AskHolds::List => {
            let found = erasures.holds(None, LISTED).await?;
            Ok(json!({ "items": found.iter().map(shown_hold).collect::<Vec<_>>() }))
        }
        AskHolds::Lift(id) => {
            erasures.lift_hold(id, by).await?;
            Ok(shown_hold(&erasures.hold(id).await?))
        }
    }
}

fn shown_hold(hold: &LegalHold) -> Value {
    let (users, conversations) = hold.of.parts();
    present(json!({
        "id": hold.id, "name": hold.name, "users": users, "conversations": conversations, "from": hold.from,
        "to": hold.to, "placed_at": hold.placed_at, "placed_by": hold.placed_by, "lifted_at": hold.lifted_at,
        "lifted_by": hold.lifted_by,
    }))
}

fn shown(receipt: &ErasureReceipt) -> Value {
    let ErasureReceipt { erasure, state, consumers, webhooks, .. } = receipt;
    let consumers = consumers.iter().map(|(name, past)| json!({ "name": name, "ack_floor_past": past }));
    let webhooks = webhooks.iter().map(|(id, delivered)| json!({ "id": id, "delivered": delivered }));
    present(json!({
        "id": erasure.id, "state": state, "scope": erasure.scope, "user_id": erasure.account,
        "reason_code": erasure.reason, "requested_at": erasure.requested_at, "starts_at": erasure.starts_at,
        "counts": {
            "messages": erasure.messages, "edits": erasure.edits, "titles": erasure.titles(), "attachments": 0,
            "rows": erasure.rows,
        },
        "hidden_at": erasure.hidden_at, "views_done_at": erasure.views_done_at, "log_done_at": erasure.log_done_at,
        "wal_compacted_at": erasure.wal_compacted_at, "archive_done_at": erasure.archive_done_at,
        "backups_gone_by": receipt.backups_gone_by(), "done_at": erasure.done_at, "holds": erasure.held_by,
        "consumers": consumers.collect::<Vec<_>>(), "webhooks": webhooks.collect::<Vec<_>>(),
    }))
}

/// Removes the fields that are `null`, as the admin API does.
fn present(shown: Value) -> Value {
    match shown {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, present(value)))
            .collect(),
        other => other,
    }
}
