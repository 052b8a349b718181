//! `erasures` and `eraser`: shows erasures, and runs the role that erases.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError, Leftover},
    cli::{
        failed::Failed,
        process::{outlive_hangups, until_told},
        reach::Reach,
        servers::Servers,
    },
    domain::ErasureId,
};

#[derive(Debug, Args)]
pub(super) struct ErasureCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the latest erasures.
    List(Servers),
    /// Shows the progress of an erasure.
    Show {
        /// Id of the erasure.
        id: ErasureId,
        #[command(flatten)]
        reach: Reach,
    },
    /// Reads every position of an erasure on the servers; exit status 1 if something is left.
    Verify {
        /// Id of the erasure.
        id: ErasureId,
        #[command(flatten)]
        servers: Servers,
    },
}

pub(super) async fn erasures(ErasureCommand { what }: ErasureCommand) -> Result<ExitCode, Failed> {
    let shown = match what {
        What::List(servers) => app::show_erasures(&servers.settings, &servers.addresses()?, None).await?,
        What::Show { id, reach } => match reach.remote()? {
            Some(node) => node.get(&format!("/v1/admin/erasures/{id}")).await.map_err(AppError::from)?,
            None => {
                let servers = reach.servers;
                app::show_erasures(&servers.settings, &servers.addresses()?, Some(id)).await?
            }
        },
        What::Verify { id, servers } => {
            // Only the eraser's NATS user may read mirrors in another JetStream domain.
            let left = app::verify_erasure(&servers.settings, &servers.erasers_addresses()?, id).await?;
            return Ok(told(left));
        }
    };
    println!("{shown:#}");
    Ok(ExitCode::SUCCESS)
}

fn told(left: Option<Leftover>) -> ExitCode {
    let Some(Leftover { unheld, held, copies }) = left else {
        println!("REFUSED  a replica is offline or behind, so its content is unknown: wait for it");
        return ExitCode::FAILURE;
    };
    if !unheld.is_empty() {
        let at: Vec<u64> = unheld.iter().map(|position| position.0).collect();
        println!("REFUSED  the log still has messages at {at:?}: is the eraser running?");
    }
    for (copy, why) in &copies {
        println!("REFUSED  {copy}: {why}");
    }
    match (unheld.is_empty() && copies.is_empty(), held.len()) {
        (false, _) => return ExitCode::FAILURE,
        (true, 0) => println!("nothing is left: all positions were read and are empty"),
        (true, held) => println!("nothing is left except at {held} positions, which legal holds keep"),
    }
    ExitCode::SUCCESS
}

/// Erases until a signal stops it.
pub(super) async fn eraser(servers: Servers) -> Result<(), AppError> {
    outlive_hangups();
    let stop = until_told();
    let addresses = servers.erasers_addresses()?;
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        failed = app::erase(&servers.settings, &addresses) => {
            let Err(failed) = failed;
            Err(failed)
        }
    }
}
