//! `migrate`: what an installation needs is made, once, and brought to this version.

use clap::Args;

use crate::{
    app::{self, AppError, Made},
    cli::operators_addresses,
    config::{LayoutSettings, ServerSettings},
};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    servers: ServerSettings,

    #[command(flatten)]
    layout: LayoutSettings,
}

/// The database always; the log only where it is known where it is.
pub(super) async fn migrate(Migrate { servers, layout }: Migrate) -> Result<(), AppError> {
    let database = servers.database_url()?;
    app::migrate(&database).await?;
    println!("the database is migrated");
    if !servers.has_nats() {
        println!("the log was left alone: set VERBATIM_NATS_URL to make it or to put its settings right");
        return Ok(());
    }
    let made = app::make_log(&operators_addresses(&servers)?, layout.wanted(), app::STREAMS).await?;
    let Made { epoch, layout, mended } = made;
    for mended in mended {
        println!("put right: {mended}");
    }
    println!("the log is there: {} streams, {} replicas, epoch {epoch}", layout.streams, layout.replicas);
    Ok(())
}
