//! Service accounts and their keys, for an operator with direct access to the database, and to NATS to notify the
//! nodes.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    access::{self, GrantedKey, NewService, ServiceError, WantedKey},
    accounts::{By, key_use},
    app::{Addresses, AppError, database, is_migrated, telling::tell_nodes},
    clock::Clock,
    credentials::{DeviceName, DisplayName, NatsName, Network, PresentedKey, Scope, Scopes, Username},
    domain::{LoginId, UserId},
    limits::OwnLimits,
    log::Signal,
};

/// The user name of the service account of dev mode.
const DEV: &str = "verbatim.dev";
/// The maximum number of service accounts in a list.
const LISTED: i64 = 10_000;

/// An operator's request to change or show service accounts or keys.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Creates the first service account of an installation, with all scopes, and its key.
    Bootstrap { username: String },
    /// Creates a service account.
    Add { username: String, display_name: Option<String>, scopes: Vec<String>, limits: Vec<(String, String)> },
    /// Lists all service accounts.
    List,
    /// Creates a key.
    AddKey {
        service: UserId,
        name: String,
        scopes: Option<Vec<String>>,
        expires_in: Option<u64>,
        addresses: Vec<String>,
    },
    /// Lets a NATS name act as a service account.
    Bind { service: UserId, name: String, scopes: Option<Vec<String>> },
    /// Lists the valid keys of a service account.
    Keys { service: UserId },
    /// Creates a key that replaces another one.
    Rotate { service: UserId, key: LoginId, overlap_s: u64 },
    /// Revokes a key.
    Revoke { service: UserId, key: LoginId },
}

/// Executes an operator's request. The answer has the format of the admin API.
pub(crate) async fn programs(addresses: &Addresses, ask: Ask) -> Result<Value, AppError> {
    let pool = database(&addresses.database, 2).await?;
    is_migrated(&pool).await?;
    let clock = Clock::system();
    let (pool, clock) = (&pool, &clock);
    let by = By::default();
    match ask {
        Ask::Bootstrap { username } => {
            let new = service(&username, None, Scopes::all())?;
            let (account, key) = access::bootstrap(pool, clock, new).await.map_err(refused)?;
            Ok(with_key(json!({ "service": shown(&account) }), &key))
        }
        Ask::Add { username, display_name, scopes, limits } => {
            let limits = OwnLimits::parse(limits.iter().map(|(name, text)| (name.as_str(), text.as_str())))
                .map_err(|bad| AppError::Refused(format!("--limit {}: {bad}", bad.name())))?;
            let new = service(&username, display_name.as_deref(), self::scopes(&scopes)?)?;
            let new = NewService { limits, ..new };
            Ok(shown(&access::add_service(pool, clock, new, by).await.map_err(refused)?))
        }
        Ask::List => {
            let found = access::services(pool, None, LISTED).await.map_err(refused)?;
            Ok(json!({ "items": found.iter().map(shown).collect::<Vec<_>>() }))
        }
        Ask::AddKey { service, name, scopes, expires_in, addresses } => {
            let networks = addresses.iter().map(|text| {
                let bad =
                    || AppError::Refused(format!("`{text}` is not a network: write one like 10.0.0.0/8"));
                Network::parse(text).ok_or_else(bad)
            });
            let wanted = WantedKey {
                name: DeviceName::parse(&name).map_err(|bad| AppError::Refused(bad.to_string()))?,
                scopes: scopes.map(|words| self::scopes(&words)).transpose()?,
                expires_in: expires_in.map(Duration::from_secs),
                networks: networks.collect::<Result<_, _>>()?,
            };
            let key = access::add_key(pool, clock, service, wanted, by).await.map_err(refused)?;
            Ok(with_key(json!({}), &key))
        }
        Ask::Bind { service, name, scopes } => {
            let bad = || AppError::Refused(format!("`{name}` is not a NATS name: {}", NatsName::FORM));
            let parsed = NatsName::parse(&name).ok_or_else(bad)?;
            let scopes = scopes.map(|words| self::scopes(&words)).transpose()?;
            let bound =
                access::bind_name(pool, clock, service, &parsed, scopes, by).await.map_err(refused)?;
            Ok(json!({ "id": bound.key, "nats_name": name }))
        }
        Ask::Keys { service } => {
            let keys = access::keys(pool, clock, service).await.map_err(refused)?;
            let shown = keys.iter().map(|key| {
                json!({
                    "id": key.id, "name": key.name, "prefix": key.public.to_string(), "scopes": key.scopes.words(),
                    "addresses": key.addresses, "created_at": key.created_at, "expires_at": key.expires_at,
                    "last_used_at": key.last_used_at, "last_used_address": key.last_used_address,
                })
            });
            Ok(json!({ "items": shown.collect::<Vec<_>>() }))
        }
        Ask::Rotate { service, key, overlap_s } => {
            let overlap = Duration::from_secs(overlap_s);
            let rotated =
                access::rotate_key(pool, clock, service, key, overlap, by).await.map_err(refused)?;
            if rotated.is_over {
                tell_of_end(pool, addresses, key).await?;
            }
            Ok(with_key(json!({ "old_expires_at": rotated.old_expires_at }), &rotated.key))
        }
        Ask::Revoke { service, key } => {
            access::revoke_key(pool, clock, service, key, by).await.map_err(refused)?;
            tell_of_end(pool, addresses, key).await?;
            Ok(Value::Null)
        }
    }
}

/// The API key of dev mode: the stored key if it is still valid, or else a new one. It has all scopes.
pub(crate) async fn key_of_dev(database_url: &str, kept: Option<String>) -> Result<String, AppError> {
    let pool = database(database_url, 2).await?;
    let clock = Clock::system();
    if let Some(kept) = kept
        && let Some(presented) = PresentedKey::parse(&kept)
        && let Some(key) = key_use::find(&pool, presented.id).await.map_err(AppError::Database)?
        && presented.has(&key.hash)
        && !key.is_revoked
        && key.expires_at.is_none_or(|end| end > clock.now())
    {
        return Ok(kept);
    }
    let known = access::services(&pool, None, LISTED).await.map_err(refused)?;
    let account = match known.into_iter().find(|account| account.username.as_str() == DEV) {
        Some(account) => account,
        None => {
            let new = service(DEV, Some("Development"), Scopes::all())?;
            access::add_service(&pool, &clock, new, By::default()).await.map_err(refused)?
        }
    };
    let name = DeviceName::parse("dev.env").map_err(|bad| AppError::Refused(bad.to_string()))?;
    let wanted = WantedKey { name, scopes: None, expires_in: None, networks: Vec::new() };
    let key = access::add_key(&pool, &clock, account.id, wanted, By::default()).await.map_err(refused)?;
    Ok(key.text.to_string())
}

/// Notifies the nodes that a key has ended. Without the signal they would find out within seconds.
pub(super) async fn tell_of_end(pool: &PgPool, addresses: &Addresses, key: LoginId) -> Result<(), AppError> {
    tell_nodes(pool, addresses, [Signal::Revoked { login: key, suspended: None }]).await
}

/// The name to show of a service account with this user name, if the operator gives none. A user name that cannot be
/// shown is returned as it is, for the node to refuse it.
pub(crate) fn default_name(username: &str) -> String {
    DisplayName::of_username(username).map_or_else(|_| username.to_owned(), |name| name.to_string())
}

fn service(username: &str, display_name: Option<&str>, scopes: Scopes) -> Result<NewService, AppError> {
    let refused = |bad: &dyn std::error::Error| AppError::Refused(bad.to_string());
    let display_name = display_name.map_or_else(|| DisplayName::of_username(username), DisplayName::parse);
    let display_name = display_name.map_err(|bad| refused(&bad))?;
    let username = Username::parse(username).map_err(|bad| refused(&bad))?;
    Ok(NewService { username, display_name, scopes, limits: OwnLimits::default() })
}

fn scopes(words: &[String]) -> Result<Scopes, AppError> {
    let scope = |word: &String| {
        let known = || Scopes::all().words().join(", ");
        let bad = || AppError::Refused(format!("`{word}` is not a scope: the scopes are {}", known()));
        Scope::named(word).ok_or_else(bad)
    };
    words.iter().map(scope).collect()
}

pub(super) fn refused(error: ServiceError) -> AppError {
    match error {
        ServiceError::Access(access::AccessError::Database(outage)) => AppError::Database(outage),
        ServiceError::Access(access::AccessError::NotFound) => AppError::Refused(
            "there is no service account with this id, or it has no such key: see `verbatim services list`"
                .into(),
        ),
        other => AppError::Refused(other.to_string()),
    }
}

fn shown(account: &access::ServiceAccount) -> Value {
    json!({
        "id": account.id, "username": account.username.as_str(), "display_name": account.display_name.as_str(),
        "kind": "service", "scopes": account.scopes.words(), "limits": account.limits,
        "created_at": account.created_at,
    })
}

fn with_key(mut answer: Value, key: &GrantedKey) -> Value {
    answer["id"] = json!(key.id);
    answer["key"] = json!(*key.text);
    answer["scopes"] = json!(key.scopes.words());
    answer["expires_at"] = json!(key.expires_at);
    answer
}
