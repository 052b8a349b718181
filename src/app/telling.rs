//! Tells the nodes of changes that an operator has made in the database. A node that is cut off reads them there
//! (`live/signals.rs`).

use sqlx::PgPool;

use crate::{
    app::{Addresses, AppError, look_at_log},
    credentials::{HOST_LIFE, LEEWAY},
    domain::{LoginId, Time, UserId},
    log::{Signal, Wanted},
};

/// Tells all nodes; nobody if there is no log.
pub(super) async fn tell_nodes(
    pool: &PgPool,
    addresses: &Addresses,
    signals: impl IntoIterator<Item = Signal>,
) -> Result<(), AppError> {
    let Some(log) = look_at_log(pool, &addresses.nats, Wanted::default()).await? else { return Ok(()) };
    for signal in signals {
        log.tell(signal).await?;
    }
    Ok(log.flush().await?)
}

/// The end of a login or a key, at the end of its account or alone.
pub(super) fn revoked(login: LoginId, now: Time, suspended: Option<UserId>) -> Signal {
    Signal::Revoked { login, until: now.plus(HOST_LIFE + LEEWAY), suspended }
}
