//! Whether acknowledged events survive a power failure.

use crate::{
    app::{AppError, Weakness},
    log::{Durability, Log},
};

/// Asks nats-server when an acknowledged event is on disk. Refuses a log that is synced at an interval, or warns of it.
pub(super) async fn durable(log: &Log, weakness: Weakness) -> Result<Durability, AppError> {
    let durability = log.durability().await;
    match &durability {
        Durability::Always => {}
        Durability::Interval { seconds } if weakness == Weakness::Refused => {
            return Err(AppError::Weak(*seconds));
        }
        Durability::Interval { seconds } => {
            tracing::warn!(
                seconds,
                "nats-server syncs at an interval; a power failure loses messages acknowledged since the last sync"
            );
        }
        Durability::Unknown => tracing::warn!(
            "nats-server did not report when it syncs: allow the account $SYS.REQ.SERVER.PING.VARZ (deploy/log.conf)"
        ),
    }
    Ok(durability)
}
