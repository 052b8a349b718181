//! `signing-key`: the keys in the database that sign access tokens.

use clap::{Args, Subcommand};

use crate::{
    app::{self, Addresses, AppError},
    cli::servers::Servers,
};

#[derive(Debug, Args)]
pub(super) struct SigningKeyCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Publishes a new key, which starts signing after 16 minutes. Tokens signed by the current key stay valid, and
    /// nobody has to log in again.
    Rotate {
        /// Signs with the new key immediately, for use after a key has leaked. All access tokens and logins end.
        #[arg(long)]
        now: bool,

        #[command(flatten)]
        servers: Servers,
    },
    /// Lists the valid keys, without their secrets.
    List(Servers),
}

pub(super) async fn signing_key(SigningKeyCommand { what }: SigningKeyCommand) -> Result<(), AppError> {
    let keys = match what {
        What::Rotate { now, servers } => app::rotate_signing_key(&of_keys(&servers)?, now).await?,
        What::List(servers) => app::list_signing_keys(&of_keys(&servers)?).await?,
    };
    for (id, what) in keys {
        println!("{id}  {what}");
    }
    Ok(())
}

/// The servers that keep the keys. Refuses if the keys are in files.
fn of_keys(servers: &Servers) -> Result<Addresses, AppError> {
    match servers.settings.signing_keys()? {
        None => Ok(servers.addresses()?),
        Some(_) => Err(AppError::Refused(
            "VERBATIM_SIGNING_KEY_FILE is set, so the key is in a file: rotate it with VERBATIM_NEXT_SIGNING_KEY_FILE"
                .into(),
        )),
    }
}
