//! `verbatim serve`: serves with the servers that the settings name.

use std::time::Duration;

use clap::Args;

use crate::{
    app::{self, AppError, Listening, Mode, Weakness},
    cli::{
        addresses::{addresses, erasers_addresses},
        open_files::enough_files,
        process::{outlive_hangups, process, until_told},
    },
    config::{NodeRole, ServerSettings, Settings, costly_hashes},
    projector::Consent,
};

/// How long `serve` still accepts connections after the signal to stop, unless a setting says otherwise.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Roles of this process, separated by commas.
    #[arg(
        long,
        env = "VERBATIM_ROLES",
        value_enum,
        value_delimiter = ',',
        default_value = "api,gateway,projector,webhooks"
    )]
    roles: Vec<NodeRole>,

    /// Rebuilds the views at startup if they belong to another log. Data that only the old views have is lost.
    #[arg(long)]
    rebuild: bool,

    #[command(flatten)]
    pub(super) servers: ServerSettings,

    #[command(flatten)]
    pub(super) settings: Settings,
}

pub(super) async fn serve(Serve { roles, rebuild, servers, settings }: Serve) -> Result<(), AppError> {
    let erasers = match roles.contains(&NodeRole::Eraser) {
        true => Some(erasers_addresses(&servers)?),
        false => None,
    };
    let addresses = addresses(&servers)?;
    if let Err(few) = enough_files(&settings) {
        tracing::warn!("{few}");
    }
    if let Err(cheap) = costly_hashes(&settings) {
        tracing::warn!("password hashes: {cheap}");
    }
    let ready = |Listening { public, admin, .. }: Listening| {
        tracing::info!(listen = %public, %admin, "serving");
    };
    let rebuild = if rebuild { Consent::Given } else { Consent::Withheld };
    let mode = Mode { weakness: Weakness::Refused, rebuild };
    outlive_hangups();
    let process = process(until_told(), settings.drain_delay(DRAIN));
    if let Some(erasers) = erasers {
        let settings = settings.clone();
        process
            .tasks
            .spawn("eraser", async move { match app::erase_patiently(&settings, &erasers).await {} });
    }
    app::serve(&settings, &addresses, &roles, mode, &process, ready).await
}
