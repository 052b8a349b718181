//! `log`: what an operator does to the log as a whole, after a disaster.

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError},
    cli::rebuild::Servers,
};

#[derive(Debug, Args)]
pub(super) struct LogCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Begins a new epoch of the log at the same positions: every cursor is reset, and log and database
    /// belong together again. Stop all nodes before, and start them again after it.
    BeginEpoch(Servers),
    /// Makes the streams that the log has lost, empty, and begins a new epoch. Only if there is no backup
    /// to restore them from.
    Recreate(Servers),
}

impl LogCommand {
    pub(super) fn servers(&self) -> &Servers {
        match &self.what {
            What::BeginEpoch(servers) | What::Recreate(servers) => servers,
        }
    }
}

pub(super) async fn log(LogCommand { what }: LogCommand) -> Result<(), AppError> {
    match what {
        What::BeginEpoch(servers) => {
            let epoch = app::begin_epoch(&servers.operators_addresses()?).await?;
            println!("epoch {epoch} has begun: every cursor is reset. Start the nodes again");
        }
        What::Recreate(servers) => {
            let epoch = app::recreate_log(&servers.operators_addresses()?, servers.settings.layout()).await?;
            println!(
                "the log is complete, and epoch {epoch} has begun. `verbatim status` tells where the views have more \
                 than the log; `verbatim rebuild all --force` gives that up"
            );
        }
    }
    Ok(())
}
