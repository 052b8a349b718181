//! `log`: repairs the log as a whole after a disaster.

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError, Recreated},
    cli::servers::Servers,
};

#[derive(Debug, Args)]
pub(super) struct LogCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Begins a new epoch of the log at the same positions. This resets every cursor, and log and database belong
    /// together again. Stop all nodes before this command, and start them again after it.
    BeginEpoch(Servers),
    /// Recreates the lost streams of the log, empty, and begins a new epoch. Use this command only if there is no
    /// backup of the lost streams.
    Recreate(Servers),
}

pub(super) async fn log(LogCommand { what }: LogCommand) -> Result<(), AppError> {
    match what {
        What::BeginEpoch(servers) => {
            let epoch = app::begin_epoch(&servers.operators_addresses()?).await?;
            println!("epoch {epoch} has begun, and every cursor is reset. Start the nodes again");
        }
        What::Recreate(servers) => {
            let made = app::recreate_log(&servers.operators_addresses()?, servers.settings.layout()).await?;
            match made {
                Recreated::Log(epoch) => println!(
                    "the log is complete, and epoch {epoch} has begun. `verbatim status` shows where the views are \
                     ahead of the log; `verbatim rebuild all --force` discards what only they have"
                ),
                Recreated::Audit => println!("created the stream AUDIT, empty; the log was complete"),
            }
        }
    }
    Ok(())
}
