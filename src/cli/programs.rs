//! `services`: the accounts of programs, and their API keys.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    app::{self, AppError, Ask},
    cli::{reach::Reach, remote::Remote},
    domain::{LoginId, UserId},
};

#[derive(Debug, Args)]
pub(super) struct Programs {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Creates the first service account of this installation, with all scopes, and prints its key once.
    Bootstrap {
        /// User name of the service account.
        #[arg(long, value_name = "NAME", default_value = "backend")]
        username: String,
    },
    /// Creates a service account.
    Add {
        /// User name of the service account.
        #[arg(value_name = "NAME")]
        username: String,

        /// Name that users see. [default: the user name]
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,

        /// Scopes that its keys may have, separated by commas: conversations:read,messages:write.
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
        scopes: Vec<String>,

        /// Rate limit of this account instead of the default, like send=300/60:30 or service=off. May be repeated.
        #[arg(long = "limit", value_name = "POLICY=RATE", value_parser = limit)]
        limits: Vec<(String, String)>,
    },
    /// Lists the service accounts.
    List,
    /// Creates, lists, rotates and revokes API keys.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Creates a key and prints it once.
    Add {
        /// Id of the service account.
        service: UserId,

        /// Name of the key.
        #[arg(long, value_name = "NAME", default_value = "key")]
        name: String,

        /// NATS name under which the service account sends commands, instead of a secret key.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["name", "expires_in", "addresses"])]
        nats_name: Option<String>,

        /// Scopes of the key, separated by commas. [default: all scopes of the service account]
        #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
        scopes: Option<Vec<String>>,

        /// Lifetime of the key, in seconds. [default: until it is revoked]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=315_360_000))]
        expires_in: Option<u64>,

        /// Networks from which the key may be used, separated by commas: 10.0.0.0/8,fd00::/8. [default: all]
        #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
        addresses: Vec<String>,
    },
    /// Lists the valid keys of a service account.
    List {
        /// Id of the service account.
        service: UserId,
    },
    /// Creates a key that replaces another one, and prints it once.
    Rotate {
        /// Id of the service account.
        service: UserId,

        /// Id of the old key.
        key: LoginId,

        /// Time for which both keys work, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400,
              value_parser = clap::value_parser!(u64).range(0..=604_800))]
        overlap: u64,
    },
    /// Revokes a key on all nodes.
    Revoke {
        /// Id of the service account.
        service: UserId,

        /// Id of the key.
        key: LoginId,
    },
}

impl From<What> for Ask {
    fn from(what: What) -> Self {
        match what {
            What::Bootstrap { username } => Self::Bootstrap { username },
            What::Add { username, display_name, scopes, limits } => {
                Self::Add { username, display_name, scopes, limits }
            }
            What::List => Self::List,
            What::Keys(Keys::Add { service, nats_name: Some(name), scopes, .. }) => {
                Self::Bind { service, name, scopes }
            }
            What::Keys(Keys::Add { service, name, scopes, expires_in, addresses, .. }) => {
                Self::AddKey { service, name, scopes, expires_in, addresses }
            }
            What::Keys(Keys::List { service }) => Self::Keys { service },
            What::Keys(Keys::Rotate { service, key, overlap }) => {
                Self::Rotate { service, key, overlap_s: overlap }
            }
            What::Keys(Keys::Revoke { service, key }) => Self::Revoke { service, key },
        }
    }
}

fn limit(text: &str) -> Result<(String, String), &'static str> {
    let (policy, rate) = text.split_once('=').ok_or("expected POLICY=RATE, like send=300/60:30")?;
    Ok((policy.to_owned(), rate.to_owned()))
}

/// Runs the command through the admin API of a node. The answer has the same format as without a node.
async fn remotely(node: &Remote, ask: Ask) -> Result<Value, AppError> {
    const SERVICES: &str = "/v1/admin/services";
    Ok(match ask {
        Ask::Bind { .. } => {
            let why = "a NATS name cannot be bound over the network: unset VERBATIM_URL and run it beside the servers";
            return Err(AppError::Refused(why.into()));
        }
        Ask::Bootstrap { .. } => {
            let why = "this does not work over the network: unset VERBATIM_URL and run it beside the servers";
            return Err(AppError::Refused(why.into()));
        }
        Ask::Add { username, display_name, scopes, limits } => {
            let display_name = display_name.unwrap_or_else(|| app::default_name(&username));
            let limits: BTreeMap<_, _> = limits.into_iter().collect();
            let new = json!({
                "username": username, "display_name": display_name, "scopes": scopes, "limits": limits,
            });
            node.post(SERVICES, &new).await?
        }
        Ask::List => json!({ "items": node.list(SERVICES).await? }),
        Ask::AddKey { service, name, scopes, expires_in, addresses } => {
            let mut new = json!({ "name": name });
            if let Some(scopes) = scopes {
                new["scopes"] = json!(scopes);
            }
            if let Some(expires_in) = expires_in {
                new["expires_in"] = json!(expires_in);
            }
            if !addresses.is_empty() {
                new["addresses"] = json!(addresses);
            }
            node.post(&format!("{SERVICES}/{service}/keys"), &new).await?
        }
        Ask::Keys { service } => node.get(&format!("{SERVICES}/{service}/keys")).await?,
        Ask::Rotate { service, key, overlap_s } => {
            let path = format!("{SERVICES}/{service}/keys/{key}/rotate");
            node.post(&path, &json!({ "overlap_s": overlap_s })).await?
        }
        Ask::Revoke { service, key } => node.delete(&format!("{SERVICES}/{service}/keys/{key}")).await?,
    })
}

pub(super) async fn programs(Programs { what, reach }: Programs) -> Result<(), AppError> {
    let answer = match reach.remote()? {
        Some(node) => remotely(&node, what.into()).await?,
        None => app::programs(&reach.servers.addresses()?, what.into()).await?,
    };
    match answer["items"].as_array() {
        Some(items) if items.is_empty() => println!("none"),
        Some(items) => items.iter().for_each(|item| println!("{}", line(item))),
        None if answer.is_null() => println!("revoked the key on all nodes"),
        None => {
            if let Some(service) = answer.get("service") {
                println!("service  {}", line(service));
            }
            println!("{}", line(&answer));
            if answer.get("key").is_some() {
                println!("The key is not shown again: store it, for example as VERBATIM_KEY.");
            }
        }
    }
    Ok(())
}

/// Formats an object of the answer as one line, with the identifying fields first.
fn line(object: &Value) -> String {
    let texts = [
        "id",
        "username",
        "name",
        "nats_name",
        "prefix",
        "key",
        "expires_at",
        "old_expires_at",
        "last_used_at",
    ];
    let text = |field: &&str| object[*field].as_str().map(|text| format!("{field} {text}"));
    let lists = ["scopes", "addresses"];
    let list = |field: &&str| {
        let words: Vec<&str> = object[*field].as_array()?.iter().filter_map(Value::as_str).collect();
        (!words.is_empty()).then(|| format!("{field} {}", words.join(",")))
    };
    let parts: Vec<String> = texts.iter().filter_map(text).chain(lists.iter().filter_map(list)).collect();
    parts.join("  ")
}
