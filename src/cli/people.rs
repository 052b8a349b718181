//! `invites` and `users`: what an operator does for people who have no login.

use std::{str::FromStr as _, time::Duration};

use clap::{Args, Subcommand};

use crate::{
    app::{self, AppError},
    cli::servers::Servers,
    domain::{LoginId, UserId},
};

#[derive(Debug, Args)]
pub(super) struct InviteCommand {
    #[command(subcommand)]
    what: Invite,
}

#[derive(Debug, Subcommand)]
enum Invite {
    /// Makes an invitation code and prints it. The code is not shown again.
    Add {
        /// Number of accounts that can be registered with the code.
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,

        /// Seconds until the code expires, up to a year.
        #[arg(long, value_name = "SECONDS", default_value_t = 604_800,
              value_parser = clap::value_parser!(u64).range(60..=31_536_000))]
        expires_in: u64,

        #[command(flatten)]
        servers: Servers,
    },
    /// Lists the latest 200 codes, without their texts.
    List(Servers),
    /// Ends a code. Accounts that were registered with it stay.
    Revoke {
        /// Id of the code.
        id: LoginId,

        #[command(flatten)]
        servers: Servers,
    },
}

impl InviteCommand {
    pub(super) fn servers(&self) -> &Servers {
        match &self.what {
            Invite::Add { servers, .. } | Invite::List(servers) | Invite::Revoke { servers, .. } => servers,
        }
    }
}

pub(super) async fn invites(InviteCommand { what }: InviteCommand) -> Result<(), AppError> {
    match what {
        Invite::Add { uses, expires_in, servers } => {
            let life = Duration::from_secs(expires_in);
            let made = app::add_invite(&servers.addresses()?, uses, life).await?;
            println!("{}", made.code);
            eprintln!("id {}, {uses} uses, until {}", made.id, made.expires_at);
        }
        Invite::List(servers) => {
            for code in app::list_invites(&servers.addresses()?).await? {
                let ended = code.revoked_at.map(|at| format!("  revoked {at}")).unwrap_or_default();
                println!(
                    "{}  used {} of {}  until {}{ended}",
                    code.id, code.used, code.uses, code.expires_at
                );
            }
        }
        Invite::Revoke { id, servers } => {
            app::revoke_invite(&servers.addresses()?, id).await?;
            println!("{id} has ended");
        }
    }
    Ok(())
}

#[derive(Debug, Args)]
pub(super) struct UserCommand {
    #[command(subcommand)]
    what: User,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Makes a recovery token and prints it: its owner sets a new password with it by `POST /v1/accounts/recovery`. An older
    /// token of the account ends.
    Recover {
        /// User name or id of the account.
        user: String,

        /// Seconds until the token expires.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600,
              value_parser = clap::value_parser!(u64).range(300..=86_400))]
        expires_in: u64,

        #[command(flatten)]
        servers: Servers,
    },
    /// Shows an account.
    Show {
        /// User name or id of the account.
        user: String,

        #[command(flatten)]
        servers: Servers,
    },
}

impl UserCommand {
    pub(super) fn servers(&self) -> &Servers {
        match &self.what {
            User::Recover { servers, .. } | User::Show { servers, .. } => servers,
        }
    }
}

pub(super) async fn users(UserCommand { what }: UserCommand) -> Result<(), AppError> {
    match what {
        User::Recover { user, expires_in, servers } => {
            let life = Duration::from_secs(expires_in);
            let made = app::recover_user(&servers.addresses()?, &named(&user), life).await?;
            println!("{}", *made.token);
            eprintln!("until {}; it sets the password once, by POST /v1/accounts/recovery", made.expires_at);
        }
        User::Show { user, servers } => {
            let account = app::show_user(&servers.addresses()?, &named(&user)).await?;
            println!("id            {}", account.id);
            println!("username      {}", account.username);
            println!("display name  {}", account.display_name);
            println!("created at    {}", account.created_at);
            if let Some(at) = account.last_seen_at {
                println!("last seen at  {at}");
            }
        }
    }
    Ok(())
}

/// An id, or else a user name. No user name is an id: it would be too long a word of hex digits to type.
fn named(user: &str) -> app::WhichUser {
    UserId::from_str(user).map_or_else(|_| app::WhichUser::Username(user.to_owned()), app::WhichUser::Id)
}
