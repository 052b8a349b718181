//! Notifies the nodes of changes that an operator has made in the database. A node that is cut off reads the changes
//! from the database (`live/signals.rs`).

use sqlx::PgPool;

use crate::{
    app::{Addresses, AppError, look_at_log},
    log::{Signal, Wanted},
};

/// Notifies all nodes. Does nothing if there is no log, because then there are no nodes.
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
