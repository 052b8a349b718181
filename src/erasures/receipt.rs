//! The receipt of an erasure: its progress, and which consumers and webhooks have received it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{
    accounts::{consumers, erasures::ErasureRequest},
    domain::{Position, Time, WebhookId},
    erasures::{error::ErasureError, listed::listed},
    hooks,
    log::Log,
};

/// The maximum number of consumers in a receipt.
const CONSUMERS: i64 = 500;
/// How long operators may keep a backup.
const BACKUPS_KEPT: Duration = Duration::from_secs(35 * 86_400);

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErasureState {
    /// The grace period is not over.
    Waiting,
    /// A node is listing the content in the log.
    Hiding,
    /// Legal holds keep all that is left. No reader gets it.
    Held,
    /// The eraser is deleting the content.
    Erasing,
    /// The eraser is reading every position again.
    Verifying,
    /// Nothing is left.
    Done,
}

/// An erasure, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasureReceipt {
    /// The request.
    pub erasure: ErasureRequest,
    /// The current step.
    pub state: ErasureState,
    /// The consumers of these streams, and whether each has passed the events that list the erasure. Copies of the log
    /// that may still have content are included, with `false`.
    pub consumers: BTreeMap<String, bool>,
    /// The webhooks that get events of these conversations, and whether the receiver of each has taken these events.
    pub webhooks: BTreeMap<WebhookId, bool>,
}

impl ErasureReceipt {
    /// The receipt without the progress of consumers and webhooks.
    pub(super) fn brief(erasure: ErasureRequest, now: Time) -> Self {
        let state = match &erasure {
            ErasureRequest { done_at: Some(_), .. } => ErasureState::Done,
            ErasureRequest { held_by, .. } if !held_by.is_empty() => ErasureState::Held,
            ErasureRequest { log_done_at: Some(_), .. } => ErasureState::Verifying,
            ErasureRequest { hidden_at: Some(_), .. } => ErasureState::Erasing,
            ErasureRequest { starts_at, .. } if *starts_at <= now => ErasureState::Hiding,
            _ => ErasureState::Waiting,
        };
        let consumers = erasure.waits_for.iter().map(|copy| (copy.clone(), false)).collect();
        Self { erasure, state, consumers, webhooks: BTreeMap::new() }
    }

    /// The time by which every backup from before the deletion has been pruned.
    pub(crate) fn backups_gone_by(&self) -> Option<Time> {
        self.erasure.log_done_at.map(|at| at.plus(BACKUPS_KEPT))
    }
}

/// The full receipt.
pub(super) async fn of(
    erasure: ErasureRequest,
    pool: &PgPool,
    log: &Log,
    now: Time,
) -> Result<ErasureReceipt, ErasureError> {
    let mut receipt = ErasureReceipt::brief(erasure, now);
    let readers = match receipt.erasure.hidden_at {
        Some(_) => consumers::all(pool, None, CONSUMERS).await?,
        None => Vec::new(),
    };
    // A consumer reads a stream in order, so only the last event of each stream has to be checked.
    let mut last: BTreeMap<usize, Position> = BTreeMap::new();
    for part in &receipt.erasure.parts {
        let last = last.entry(log.stream_of(part.conversation)).or_default();
        *last = (*last).max(part.told_at.unwrap_or_default());
    }
    last.retain(|_, told_at| *told_at > Position::START);
    for reader in &readers {
        for (stream, told_at) in &last {
            if let Some(passed) = log.has_passed(&reader.name, *stream, *told_at).await? {
                let all = receipt.consumers.entry(reader.name.clone()).or_insert(true);
                *all &= passed;
            }
        }
    }
    // A receiver may have refused any of the events, so all of them have to be checked.
    let mut told = Vec::new();
    for (part, (stream, events)) in receipt.erasure.parts.iter().zip(listed(log, &receipt.erasure).await?) {
        let told_at: BTreeSet<Position> = events.iter().map(|event| event.told_at).collect();
        told.extend(told_at.into_iter().map(|at| (stream, part.conversation, at)));
    }
    receipt.webhooks = hooks::passed(pool, &told, receipt.erasure.actor).await?;
    Ok(receipt)
}
