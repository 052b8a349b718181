//! The servers that the settings name.

use clap::Args;
use sqlx::PgPool;

use crate::{
    app::{self, Addresses, AppError},
    cli::addresses::{addresses, erasers_addresses, operators_addresses},
    config::{ServerSettings, Settings},
    log::{Log, NatsServers, OpenError},
};

/// The servers that hold the log and the views.
#[derive(Debug, Args)]
pub(super) struct Servers {
    #[command(flatten)]
    servers: ServerSettings,

    #[command(flatten)]
    pub(super) settings: Settings,
}

impl Servers {
    pub(super) fn addresses(&self) -> Result<Addresses, AppError> {
        addresses(&self.servers)
    }

    pub(super) fn nats_with(&self, creds: &str) -> Result<NatsServers, AppError> {
        self.servers.nats_with(creds).map_err(AppError::Servers)
    }

    pub(super) fn operators_addresses(&self) -> Result<Addresses, AppError> {
        operators_addresses(&self.servers)
    }

    pub(super) fn erasers_addresses(&self) -> Result<Addresses, AppError> {
        erasers_addresses(&self.servers)
    }

    pub(super) async fn open(&self) -> Result<(Log, PgPool), AppError> {
        let addresses = self.addresses()?;
        let pool = app::database(&addresses.database, 2).await?;
        app::is_migrated(&pool).await?;
        let log = app::look_at_log(&pool, &addresses.nats, self.settings.layout()).await?;
        Ok((log.ok_or(OpenError::NoLog)?, pool))
    }
}
