//! Consumers, for an operator on the machine: with the database, and with NATS as an operator of the log.

use crate::{
    app::{Addresses, AppError, database, is_migrated, look_at_log},
    authority::NKey,
    clock::Clock,
    config::ConsumerSettings,
    consumers::{ConsumerError, Office, Revoker, ScopedKey, sweep},
    log::{NatsServers, OpenError, Wanted},
};

/// The keys that an operator has at hand.
#[derive(Debug)]
pub(crate) struct ConsumerKeys {
    scoped: Option<ScopedKey>,
    revoker: Option<Revoker>,
}

impl ConsumerKeys {
    /// Reads the keys that the settings name.
    pub(crate) fn read(
        settings: &ConsumerSettings,
        system: impl FnOnce(&str) -> Result<NatsServers, AppError>,
    ) -> Result<Self, AppError> {
        let scoped = settings.consumers_key()?.map(|text| {
            ScopedKey::read(&text)
                .map_err(|why| ConsumerSettings::bad_key("VERBATIM_CONSUMERS_KEY_FILE", why))
        });
        let revoker = match settings.revoker()? {
            None => None,
            Some((key, creds)) => {
                let operator = NKey::operator(&key)
                    .map_err(|why| ConsumerSettings::bad_key("VERBATIM_NATS_OPERATOR_KEY_FILE", why))?;
                Some(Revoker { operator, system: system(&creds)? })
            }
        };
        Ok(Self { scoped: scoped.transpose()?, revoker })
    }
}

/// Does something with consumers. Credentials whose time has come are revoked before.
pub(crate) async fn with_office<T>(
    addresses: &Addresses,
    keys: ConsumerKeys,
    act: impl AsyncFnOnce(&Office<'_>) -> Result<T, ConsumerError>,
) -> Result<T, AppError> {
    let pool = database(&addresses.database, 4).await?;
    is_migrated(&pool).await?;
    let log = look_at_log(&pool, &addresses.nats, Wanted::default()).await?.ok_or(OpenError::NoLog)?;
    let clock = Clock::system();
    let office = Office { pool: &pool, log: &log, clock: &clock, scoped: keys.scoped, revoker: keys.revoker };
    sweep(&office).await.map_err(told)?;
    act(&office).await.map_err(told)
}

fn told(error: ConsumerError) -> AppError {
    match error {
        ConsumerError::Database(outage) => AppError::Database(outage),
        ConsumerError::Log(outage) => AppError::Open(outage),
        other => AppError::Refused(other.to_string()),
    }
}
