//! `logins`: what an operator does to the logins of everybody.

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError},
    cli::rebuild::Servers,
    domain::Time,
};

#[derive(Debug, Args)]
pub(super) struct Logins {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Ends every login that began before a time. After schema `auth` was restored from a copy of that
    /// time, logins that were revoked since count again, and nobody can tell which they are.
    Revoke {
        /// The time of the copy, by RFC 3339: 2026-11-24T13:10:00Z.
        #[arg(long, value_name = "TIME")]
        since: Time,

        #[command(flatten)]
        servers: Servers,
    },
}

impl Logins {
    pub(super) fn servers(&self) -> &Servers {
        let What::Revoke { servers, .. } = &self.what;
        servers
    }
}

pub(super) async fn logins(Logins { what: What::Revoke { since, servers } }: Logins) -> Result<(), AppError> {
    let revoked = app::revoke_logins(&servers.addresses()?, since).await?;
    println!("{revoked} logins that began before {since} have ended");
    Ok(())
}
