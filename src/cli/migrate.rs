//! `migrate`: creates the tables and the log of an installation, or upgrades them to this version.

use clap::Args;

use crate::{
    app::{self, AppError, MadeLog},
    cli::addresses::operators_addresses,
    config::{LayoutSettings, ServerSettings},
};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    servers: ServerSettings,

    #[command(flatten)]
    layout: LayoutSettings,
}

/// Always migrates the database, and the log only if a NATS URL is set.
pub(super) async fn migrate(Migrate { servers, layout }: Migrate) -> Result<(), AppError> {
    let database = servers.database_url()?;
    app::migrate(&database).await?;
    println!("migrated the database");
    if !servers.has_nats() {
        println!("left the log alone: set VERBATIM_NATS_URL to create the log or to correct its settings");
        return Ok(());
    }
    let made = app::make_log(&operators_addresses(&servers)?, layout.wanted(), app::STREAMS).await?;
    let MadeLog { epoch, layout, mended } = made;
    for mended in mended {
        println!("corrected: {mended}");
    }
    println!("the log is ready: {} streams, {} replicas, epoch {epoch}", layout.streams, layout.replicas);
    Ok(())
}
