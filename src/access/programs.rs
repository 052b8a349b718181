//! Creating service accounts, and creating, replacing and revoking their keys.

use std::time::Duration;

use sqlx::PgPool;
use zeroize::Zeroizing;

use super::{error::AccessError, needs::Access};
use crate::{
    accounts::{
        By, ListedKey, ServiceAccount, Stamp,
        api_keys::{self, KeyError, NewKey},
        programs::{self, ServicePlace},
    },
    clock::Clock,
    credentials::{DeviceName, DisplayName, MadeKey, Network, Scopes, Username},
    domain::{LoginId, Time, UserId},
    limits::OwnLimits,
};

/// The default overlap: how long a replaced key still works beside the new one.
pub(crate) const OVERLAP: Duration = Duration::from_secs(86_400);
/// The longest overlap.
pub(crate) const MAX_OVERLAP: Duration = Duration::from_secs(604_800);

/// The account of a program, to be created.
#[derive(Debug)]
pub(crate) struct NewService {
    /// The unique name.
    pub username: Username,
    /// The name to show.
    pub display_name: DisplayName,
    /// The scopes that its keys may have.
    pub scopes: Scopes,
    /// Its limits that differ from the default.
    pub limits: OwnLimits,
}

/// A key to be created.
#[derive(Debug)]
pub(crate) struct WantedKey {
    /// The name of the key, for people.
    pub name: DeviceName,
    /// Its scopes; `None` for all scopes of the account.
    pub scopes: Option<Scopes>,
    /// Its lifetime; `None` if it never expires.
    pub expires_in: Option<Duration>,
    /// The networks from which it may be used; none for all.
    pub networks: Vec<Network>,
}

/// A key that was created. Its text is shown only this once.
pub(crate) struct GrantedKey {
    /// The id of the key.
    pub id: LoginId,
    /// The whole key.
    pub text: Zeroizing<String>,
    /// Its scopes.
    pub scopes: Scopes,
    /// The time at which it expires.
    pub expires_at: Option<Time>,
}

/// A key that was replaced.
pub(crate) struct Rotated {
    /// The new key.
    pub key: GrantedKey,
    /// The time at which the old key expires.
    pub old_expires_at: Time,
    /// Whether the old key has already expired.
    pub is_over: bool,
}

/// Why a service account or a key was not created or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// The account does not have a requested scope.
    #[error("the service account does not have all of these scopes: choose from its own scopes")]
    NotGranted,
    /// A service account already exists.
    #[error("a service account exists already: use its key with `verbatim services add`")]
    NotTheFirst,
    /// The service account already has the maximum number of active keys.
    #[error("the service account has {} keys, which is the maximum: revoke one first", api_keys::MAX_KEYS)]
    TooManyKeys,
    /// The key represents a NATS name and has no text.
    #[error(
        "the key belongs to a NATS name and cannot be replaced: replace the credentials of the name with `verbatim \
         consumers rotate`"
    )]
    OfName,
    /// The NATS name is already bound to a service account.
    #[error("the NATS name is bound to a service account already: revoke its key first")]
    NameTaken,
    /// All other reasons.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<KeyError> for ServiceError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotFound => AccessError::NotFound.into(),
            KeyError::TooMany => Self::TooManyKeys,
            KeyError::Taken => Self::NameTaken,
            KeyError::OfName => Self::OfName,
            KeyError::Database(outage) => outage.into(),
        }
    }
}

impl From<sqlx::Error> for ServiceError {
    fn from(outage: sqlx::Error) -> Self {
        Self::Access(outage.into())
    }
}

/// Creates the account of a program.
pub(crate) async fn add_service(
    pool: &PgPool,
    clock: &Clock,
    new: NewService,
    by: By,
) -> Result<ServiceAccount, ServiceError> {
    make_service(pool, clock, new, ServicePlace::Beside, by).await
}

/// Creates the first service account of an installation, and its first key with all of its scopes.
pub(crate) async fn bootstrap(
    pool: &PgPool,
    clock: &Clock,
    new: NewService,
) -> Result<(ServiceAccount, GrantedKey), ServiceError> {
    let account = make_service(pool, clock, new, ServicePlace::First, By::default()).await?;
    let name = DeviceName::parse("bootstrap").expect("a name of letters");
    let wanted = WantedKey { name, scopes: None, expires_in: None, networks: Vec::new() };
    let key = add_key(pool, clock, account.id, wanted, By::default()).await?;
    Ok((account, key))
}

async fn make_service(
    pool: &PgPool,
    clock: &Clock,
    new: NewService,
    place: ServicePlace,
    by: By,
) -> Result<ServiceAccount, ServiceError> {
    let NewService { username, display_name, scopes, limits } = new;
    let (id, created_at) = (clock.id(UserId::known), clock.now());
    let account = ServiceAccount { id, username, display_name, scopes, limits: limits.texts(), created_at };
    let made = programs::add(pool, &account, place, Stamp::now(clock, by)).await;
    made.map_err(AccessError::from)?.map(|()| account).ok_or(ServiceError::NotTheFirst)
}

/// The service accounts, the latest first, from after the account that `after` names.
pub(crate) async fn services(
    pool: &PgPool,
    after: Option<(Time, UserId)>,
    limit: i64,
) -> Result<Vec<ServiceAccount>, ServiceError> {
    Ok(programs::list(pool, after, limit).await?)
}

/// Creates a key of a service account.
pub(crate) async fn add_key(
    pool: &PgPool,
    clock: &Clock,
    account: UserId,
    wanted: WantedKey,
    by: By,
) -> Result<GrantedKey, ServiceError> {
    let made = MadeKey::draw();
    let networks = wanted.networks.iter().map(Network::to_string).collect();
    let key = NewKey {
        id: clock.id(LoginId::known),
        public: made.id,
        hash: made.hash,
        name: wanted.name.to_string(),
        scopes: granted(pool, account, wanted.scopes).await?,
        addresses: networks,
        expires_at: wanted.expires_in.map(|life| clock.now().plus(life)),
    };
    api_keys::add(pool, account, &key, Stamp::now(clock, by)).await?;
    Ok(GrantedKey { id: key.id, text: made.text, scopes: key.scopes, expires_at: key.expires_at })
}

/// The scopes of a new key: the requested ones, or all scopes of its account.
pub(super) async fn granted(
    pool: &PgPool,
    account: UserId,
    wanted: Option<Scopes>,
) -> Result<Scopes, ServiceError> {
    let granted = programs::scopes(pool, account).await?.ok_or(AccessError::NotFound)?;
    let scopes = wanted.unwrap_or(granted);
    if scopes.and(granted) == scopes { Ok(scopes) } else { Err(ServiceError::NotGranted) }
}

/// The active keys of a service account, the latest first.
pub(crate) async fn keys(
    pool: &PgPool,
    clock: &Clock,
    account: UserId,
) -> Result<Vec<ListedKey>, ServiceError> {
    programs::scopes(pool, account).await?.ok_or(AccessError::NotFound)?;
    Ok(api_keys::list(pool, account, clock.now()).await?)
}

/// Replaces a key with a new one that has the same name, scopes, networks and lifetime. A key that was replaced before
/// can be replaced again, because the answer with the new key may have been lost. The old key still works during the
/// overlap. If it expires at once, the caller must notify the nodes.
pub(crate) async fn rotate_key(
    pool: &PgPool,
    clock: &Clock,
    account: UserId,
    old: LoginId,
    overlap: Duration,
    by: By,
) -> Result<Rotated, ServiceError> {
    let (made, stamp) = (MadeKey::draw(), Stamp::now(clock, by));
    let id = clock.id(LoginId::known);
    let successor = |old: ListedKey| match old.public.is_of_a_name(&old.name) {
        true => Err(KeyError::OfName),
        false => Ok(NewKey {
            id,
            public: made.id,
            hash: made.hash,
            name: old.name,
            scopes: old.scopes,
            addresses: old.addresses,
            expires_at: old.unreplaced_expires_at.map(|end| stamp.at.plus(end.since(old.created_at))),
        }),
    };
    let until = stamp.at.plus(overlap);
    let (new, old_expires_at) = api_keys::rotate(pool, account, old, until, successor, stamp).await?;
    let key = GrantedKey { id, text: made.text, scopes: new.scopes, expires_at: new.expires_at };
    Ok(Rotated { key, old_expires_at, is_over: old_expires_at <= stamp.at })
}

/// Revokes a key in the database. The caller must notify the nodes, even if the key ended before, because the first
/// request may have failed after the database and before the nodes were told.
pub(crate) async fn revoke_key(
    pool: &PgPool,
    clock: &Clock,
    account: UserId,
    key: LoginId,
    by: By,
) -> Result<(), ServiceError> {
    match api_keys::revoke(pool, account, key, Stamp::now(clock, by)).await? {
        false => Err(AccessError::NotFound.into()),
        true => Ok(()),
    }
}

impl Access {
    /// Replaces a key ([`rotate_key`]). Without an overlap, all nodes refuse the old key from now on.
    pub(crate) async fn replace_key(
        &self,
        account: UserId,
        old: LoginId,
        overlap: Duration,
        by: By,
    ) -> Result<Rotated, ServiceError> {
        let rotated = rotate_key(&self.pool, &self.clock, account, old, overlap, by).await?;
        if rotated.is_over {
            self.cut_off(&[old]).await;
        }
        Ok(rotated)
    }

    /// Revokes a key on all nodes.
    pub(crate) async fn revoke_key(&self, account: UserId, key: LoginId, by: By) -> Result<(), ServiceError> {
        revoke_key(&self.pool, &self.clock, account, key, by).await?;
        self.cut_off(&[key]).await;
        Ok(())
    }
}
