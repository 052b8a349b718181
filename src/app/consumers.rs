//! Consumers: on a node for the admin API, and on the command line of an operator, with direct access to the database
//! and to NATS as an operator of the log.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    access::{self, AccessError, ServiceError},
    accounts::By,
    app::{Addresses, AppError, Process, database, installation::open_installation, programs},
    authority::NKey,
    clock::Clock,
    config::{BadSetting, ConsumerSettings, NodeRole, Settings},
    consumers::{
        self, Added, ConsumerError, Office, Revoker, ScopedKey, WantedConsumer, revoke_overdue, sweep,
    },
    credentials::NatsName,
    domain::UserId,
    log::{Log, NatsServers, OpenError, Wanted},
};

/// The interval at which dev mode revokes overdue credentials.
const SWEEP: Duration = Duration::from_secs(2);

/// The keys that an operator has provided.
#[derive(Debug)]
pub(crate) struct ConsumerKeys {
    scoped: Option<Arc<ScopedKey>>,
    revoker: Option<Arc<Revoker>>,
}

impl ConsumerKeys {
    /// Reads the keys from the files in the settings.
    pub(crate) fn read(
        settings: &Settings,
        keys: &ConsumerSettings,
        system: impl FnOnce(&str) -> Result<NatsServers, AppError>,
    ) -> Result<Self, AppError> {
        let revoker = match keys.revoker()? {
            None => None,
            Some((key, creds)) => Some(revoker(&key, system(&creds)?)?),
        };
        Ok(Self { scoped: scoped_key(settings)?, revoker: revoker.map(Arc::new) })
    }

    /// The keys of dev mode, which has all of them.
    pub(crate) fn of_dev(settings: &Settings, operator: &str, system: NatsServers) -> Result<Self, AppError> {
        Ok(Self { scoped: scoped_key(settings)?, revoker: Some(Arc::new(revoker(operator, system)?)) })
    }
}

fn revoker(key: &str, system: NatsServers) -> Result<Revoker, BadSetting> {
    let operator = NKey::operator(key)
        .map_err(|why| ConsumerSettings::bad_key("VERBATIM_NATS_OPERATOR_KEY_FILE", why))?;
    Ok(Revoker { operator, system })
}

/// The key that can sign consumers, and nothing else.
fn scoped_key(settings: &Settings) -> Result<Option<Arc<ScopedKey>>, BadSetting> {
    let Some(text) = settings.consumers_key()? else { return Ok(None) };
    let key = ScopedKey::read(&text);
    let key = key.map_err(|why| ConsumerSettings::bad_key("VERBATIM_CONSUMERS_KEY_FILE", why))?;
    Ok(Some(Arc::new(key)))
}

/// Whether a node with these settings has a key that signs consumers.
pub(crate) fn can_sign_consumers(settings: &Settings) -> Result<bool, BadSetting> {
    Ok(scoped_key(settings)?.is_some())
}

/// Creates the office of a node, which never has the keys that revoke. With the role `api`, it also measures the lag of
/// the consumers.
pub(super) fn start(
    settings: &Settings,
    addresses: &Addresses,
    log: &Log,
    pool: &sqlx::PgPool,
    roles: &[NodeRole],
    process: &Process,
) -> Result<Office, AppError> {
    let servers = addresses.nats.urls().map_err(OpenError::Url)?;
    let (pool, log, clock) = (pool.clone(), log.clone(), process.clock.clone());
    let office = Office { pool, log, clock, servers, scoped: scoped_key(settings)?, revoker: None };
    if roles.contains(&NodeRole::Api) {
        process.tasks.spawn("figures of consumers", consumers::watch(office.clone()));
    }
    Ok(office)
}

/// Does `act` with an operator's office. Revokes overdue credentials first.
pub(crate) async fn with_office<T>(
    addresses: &Addresses,
    keys: ConsumerKeys,
    act: impl AsyncFnOnce(&Office) -> Result<T, ConsumerError>,
) -> Result<T, AppError> {
    let (pool, log) = open_installation(addresses, Wanted::default(), 4).await?;
    let servers = addresses.nats.urls().map_err(OpenError::Url)?;
    let ConsumerKeys { scoped, revoker } = keys;
    let office = Office { pool, log, clock: Clock::system(), servers, scoped, revoker };
    sweep(&office).await.map_err(told)?;
    act(&office).await.map_err(told)
}

/// Adds a consumer, and lets its name act as the service account `bot`. The name is bound only if the consumer may be
/// added: credentials of an earlier consumer of the name could still work.
pub(crate) async fn add_consumer(
    office: &Office,
    wanted: WantedConsumer<'_>,
    bot: Option<UserId>,
) -> Result<Added, ConsumerError> {
    let (by, name) = (By::default(), wanted.name);
    let Some(service) = bot else { return consumers::add(office, wanted, by).await };
    let unbindable = || ConsumerError::Refused(format!("`{name}` is not a NATS name: {}", NatsName::FORM));
    let parsed = NatsName::parse(name).ok_or_else(unbindable)?;
    consumers::may_add(office, &wanted).await?;
    let bound = access::bind_name(&office.pool, &office.clock, service, &parsed, None, by);
    let bound = bound.await.map_err(not_bound)?;
    let added = consumers::add(office, wanted, by).await;
    if bound.is_new && consumers::needs_no_binding(office, name, &added).await? {
        access::unbind_name(&office.pool, &office.clock, &parsed, by).await.map_err(not_bound)?;
    }
    added
}

fn not_bound(error: ServiceError) -> ConsumerError {
    match error {
        ServiceError::Access(AccessError::Database(outage)) => ConsumerError::Database(outage),
        ServiceError::Access(AccessError::NotFound) => ConsumerError::Refused(
            "there is no service account with the id of `--bot`: see `verbatim services list`".into(),
        ),
        other => ConsumerError::Refused(other.to_string()),
    }
}

/// Removes a consumer, and the key to which its name is bound.
pub(crate) async fn remove_consumer(
    addresses: &Addresses,
    keys: ConsumerKeys,
    name: &str,
) -> Result<(), AppError> {
    let remove = async |office: &Office| consumers::remove(office, name, true, By::default()).await;
    let was_there = with_office(addresses, keys, remove).await?;
    let (pool, clock) = (database(&addresses.database, 2).await?, Clock::system());
    let unbound = match NatsName::parse(name) {
        Some(name) => access::unbind_name(&pool, &clock, &name, By::default()).await,
        None => Ok(None),
    };
    let unbound = unbound.map_err(programs::refused)?;
    if let Some(unbound) = unbound {
        programs::tell_of_end(&pool, addresses, unbound.key).await?;
    }
    match was_there || unbound.is_some_and(|unbound| unbound.is_new) {
        true => Ok(()),
        false => Err(told(ConsumerError::NotFound(name.to_owned()))),
    }
}

/// Revokes credentials when they are due, for ever. This runs in dev mode, which has all keys.
pub(crate) async fn sweep_always(database_url: &str, keys: ConsumerKeys) -> Result<(), AppError> {
    let (pool, clock) = (database(database_url, 1).await?, Clock::system());
    let (Some(scoped), Some(revoker)) = (keys.scoped, keys.revoker) else {
        return std::future::pending().await;
    };
    loop {
        sleep(SWEEP).await;
        if let Err(error) = revoke_overdue(&pool, clock.now(), &scoped, &revoker).await {
            tracing::warn!(%error, "could not revoke consumer credentials; retrying");
        }
    }
}

fn told(error: ConsumerError) -> AppError {
    match error {
        ConsumerError::Database(outage) => AppError::Database(outage),
        ConsumerError::Log(outage) => AppError::Open(outage),
        other => AppError::Refused(other.to_string()),
    }
}
