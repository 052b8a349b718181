//! `logins`: revokes logins of all users.

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError},
    cli::servers::Servers,
    domain::Time,
};

#[derive(Debug, Args)]
pub(super) struct Logins {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Revokes every login that began before a time, and refuses the tokens that external issuers created before it. A
    /// restored copy of schema `auth` holds logins that were revoked after the time of the copy, and lacks the log-outs
    /// at issuers since then; after a restore, give the current time.
    Revoke {
        /// A time in RFC 3339: 2026-11-24T13:10:00Z. A time in the future counts as the current time for issuers.
        #[arg(long, value_name = "TIME")]
        since: Time,

        #[command(flatten)]
        servers: Servers,
    },
}

pub(super) async fn logins(Logins { what: What::Revoke { since, servers } }: Logins) -> Result<(), AppError> {
    let revoked = app::revoke_logins(&servers.addresses()?, since).await?;
    println!("revoked {revoked} logins that began before {since}");
    Ok(())
}
