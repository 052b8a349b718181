//! `invites` and `users`: manages the accounts of people, and invitation codes for people without an account.

use std::{str::FromStr as _, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    app::{self, AppError},
    cli::{
        reach::Reach,
        remote::{Remote, encoded},
    },
    domain::{LoginId, UserId},
};

#[derive(Debug, Args)]
pub(super) struct InviteCommand {
    #[command(subcommand)]
    what: Invite,
}

#[derive(Debug, Subcommand)]
enum Invite {
    /// Creates an invitation code and prints it. The code is not shown again.
    Add {
        /// Number of accounts that can be registered with the code.
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        uses: u32,

        /// Seconds until the code expires, up to a year.
        #[arg(long, value_name = "SECONDS", default_value_t = 604_800,
              value_parser = clap::value_parser!(u64).range(60..=31_536_000))]
        expires_in: u64,

        #[command(flatten)]
        reach: Reach,
    },
    /// Lists the latest 200 codes, without their texts.
    List(Reach),
    /// Revokes a code. Accounts that were registered with it stay.
    Revoke {
        /// Id of the code.
        id: LoginId,

        #[command(flatten)]
        reach: Reach,
    },
}

pub(super) async fn invites(InviteCommand { what }: InviteCommand) -> Result<(), AppError> {
    match what {
        Invite::Add { uses, expires_in, reach } => {
            let (code, id, until) = match reach.remote()? {
                Some(node) => {
                    let new = json!({ "uses": uses, "expires_in": expires_in });
                    let made = node.post(INVITES, &new).await?;
                    (text(&made, "code"), text(&made, "id"), text(&made, "expires_at"))
                }
                None => {
                    let life = Duration::from_secs(expires_in);
                    let made = app::add_invite(&reach.servers.addresses()?, uses, life).await?;
                    (made.code, made.id.to_string(), made.expires_at.to_string())
                }
            };
            println!("{code}");
            eprintln!("id {id}, {uses} uses, valid until {until}");
        }
        Invite::List(reach) => {
            let codes = match reach.remote()? {
                Some(node) => node.get(&format!("{INVITES}?limit=200")).await?["items"].take(),
                None => app::list_invites(&reach.servers.addresses()?).await?.into(),
            };
            for code in codes.as_array().into_iter().flatten() {
                let ended =
                    code["revoked_at"].as_str().map(|at| format!("  revoked {at}")).unwrap_or_default();
                let (id, until) = (text(code, "id"), text(code, "expires_at"));
                println!("{id}  used {} of {}  until {until}{ended}", code["used"], code["uses"]);
            }
        }
        Invite::Revoke { id, reach } => {
            match reach.remote()? {
                Some(node) => drop(node.delete(&format!("{INVITES}/{id}")).await?),
                None => app::revoke_invite(&reach.servers.addresses()?, id).await?,
            }
            println!("revoked {id}");
        }
    }
    Ok(())
}

const INVITES: &str = "/v1/admin/invites";

fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap_or_default().to_owned()
}

#[derive(Debug, Args)]
pub(super) struct UserCommand {
    #[command(subcommand)]
    what: User,
}

#[derive(Debug, Subcommand)]
enum User {
    /// Creates a recovery token and prints it. The user sets a new password with it by `POST /v1/accounts/recovery`.
    /// An older token of the account is revoked.
    Recover {
        /// User name or id of the account.
        user: String,

        /// Seconds until the token expires.
        #[arg(long, value_name = "SECONDS", default_value_t = 3_600,
              value_parser = clap::value_parser!(u64).range(300..=86_400))]
        expires_in: u64,

        #[command(flatten)]
        reach: Reach,
    },
    /// Deactivates an account: revokes all its logins within a second and refuses new ones. It stays a member of its
    /// conversations.
    Deactivate {
        /// User name or id of the account.
        user: String,

        #[command(flatten)]
        reach: Reach,
    },
    /// Reactivates a deactivated account. Its user has to log in again.
    Reactivate {
        /// User name or id of the account.
        user: String,

        #[command(flatten)]
        reach: Reach,
    },
    /// Shows an account.
    Show {
        /// User name or id of the account.
        user: String,

        #[command(flatten)]
        reach: Reach,
    },
}

pub(super) async fn users(UserCommand { what }: UserCommand) -> Result<(), AppError> {
    match what {
        User::Recover { user, expires_in, reach } => {
            let (token, until) = match reach.remote()? {
                Some(node) => {
                    let id = id_of(&node, &user).await?;
                    let wanted = json!({ "expires_in": expires_in });
                    let made = node.post(&format!("/v1/admin/users/{id}/recovery"), &wanted).await?;
                    (text(&made, "token"), text(&made, "expires_at"))
                }
                None => {
                    let life = Duration::from_secs(expires_in);
                    let made = app::recover_user(&reach.servers.addresses()?, &named(&user), life).await?;
                    (made.token.to_string(), made.expires_at.to_string())
                }
            };
            println!("{token}");
            eprintln!("valid until {until} for one POST /v1/accounts/recovery");
        }
        User::Deactivate { user, reach } => {
            match reach.remote()? {
                Some(node) => act(&node, &user, "deactivate").await?,
                None => app::deactivate_user(&reach.servers.addresses()?, &named(&user)).await?,
            }
            println!("{user} is deactivated");
        }
        User::Reactivate { user, reach } => {
            match reach.remote()? {
                Some(node) => act(&node, &user, "reactivate").await?,
                None => app::reactivate_user(&reach.servers.addresses()?, &named(&user)).await?,
            }
            println!("{user} is active");
        }
        User::Show { user, reach } => {
            let account = match reach.remote()? {
                Some(node) => found(&node, &named(&user)).await?,
                None => {
                    let (account, ends) = app::show_user(&reach.servers.addresses()?, &named(&user)).await?;
                    let state = match (ends.deactivated_at, ends.erased_at) {
                        (_, Some(_)) => "erased",
                        (Some(_), None) => "deactivated",
                        (None, None) => "active",
                    };
                    json!({
                        "state": state, "deactivated_at": ends.deactivated_at, "erased_at": ends.erased_at,
                        "id": account.id, "username": account.username.as_str(),
                        "display_name": account.display_name.as_str(), "created_at": account.created_at,
                        "last_seen_at": account.last_seen_at,
                    })
                }
            };
            // A node shows only the fields that all users can see.
            for field in [
                "id",
                "username",
                "display_name",
                "created_at",
                "last_seen_at",
                "state",
                "deactivated_at",
                "erased_at",
            ] {
                if let Some(value) = account[field].as_str() {
                    println!("{:<16}{value}", field.replace('_', " "));
                }
            }
        }
    }
    Ok(())
}

async fn act(node: &Remote, user: &str, what: &str) -> Result<(), AppError> {
    let id = id_of(node, user).await?;
    node.post(&format!("/v1/admin/users/{id}/{what}"), &json!({})).await?;
    Ok(())
}

/// The id of an account. Only a name has to be looked up, which needs a key that may find users.
async fn id_of(node: &Remote, user: &str) -> Result<String, AppError> {
    match named(user) {
        app::WhichUser::Id(id) => Ok(id.to_string()),
        name @ app::WhichUser::Username(_) => Ok(text(&found(node, &name).await?, "id")),
    }
}

/// Gets an account from a node.
async fn found(node: &Remote, user: &app::WhichUser) -> Result<Value, AppError> {
    match user {
        app::WhichUser::Id(id) => Ok(node.get(&format!("/v1/users/{id}")).await?),
        app::WhichUser::Username(name) => {
            let mut page = node.get(&format!("/v1/users?username={}", encoded(name))).await?;
            match page["items"].as_array_mut().and_then(Vec::pop) {
                Some(account) => Ok(account),
                None => Err(AppError::Refused("there is no account with this name or id: check it".into())),
            }
        }
    }
}

/// Reads an id, or else a user name. An account whose user name has the form of an id can only be named by its id.
fn named(user: &str) -> app::WhichUser {
    UserId::from_str(user).map_or_else(|_| app::WhichUser::Username(user.to_owned()), app::WhichUser::Id)
}
