//! The `Office`, which manages consumers: its keys, and its errors.

use std::sync::Arc;

use sqlx::PgPool;

use crate::{
    accounts::consumers::{self, StoredConsumer},
    authority::NKey,
    clock::Clock,
    consumers::filter::BadFilter,
    log::{Log, NatsServers, OpenError},
};

/// The setting that is needed to add a consumer.
pub(super) const KEY: &str = "VERBATIM_CONSUMERS_KEY_FILE";
/// The settings that are needed to revoke credentials.
pub(super) const REVOKER: &str = "VERBATIM_NATS_OPERATOR_KEY_FILE or VERBATIM_NATS_SYS_CREDENTIALS_FILE";

/// The key that signs consumers, and the account to which it belongs: the content of `consumers.key`.
#[derive(Debug)]
pub(crate) struct ScopedKey {
    pub(super) key: NKey,
    pub(super) account: String,
}

impl ScopedKey {
    /// Parses the content of the file.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim);
        let key = NKey::account(lines.next().unwrap_or_default()).map_err(|bad| bad.to_string())?;
        match lines.next() {
            // The key of the account itself can sign users with any permissions, so a node must not have it.
            Some(account) if account == key.public() => {
                Err("it is an account key: use the file consumers.key, which can sign only consumers".into())
            }
            Some(account) if account.len() == 56 && account.starts_with('A') => {
                Ok(Self { key, account: account.to_owned() })
            }
            _ => Err("its second line is not the public key of an account, which begins with A".into()),
        }
    }
}

/// Everything that is needed to revoke credentials: the operator's key, and a user of the system account.
#[derive(Debug)]
pub(crate) struct Revoker {
    /// The key that signs accounts.
    pub(crate) operator: NKey,
    /// The servers, with the login of a user of the system account.
    pub(crate) system: NatsServers,
}

/// Manages consumers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) pool: PgPool,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    /// The URLs of the servers, for the starter programs.
    pub(crate) servers: Vec<String>,
    /// The key that signs consumers. A node may hold it.
    pub(crate) scoped: Option<Arc<ScopedKey>>,
    /// Only an operator's office has it; a node's does not.
    pub(crate) revoker: Option<Arc<Revoker>>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsumerError {
    /// The setting of a file that the command needs is missing.
    #[error("{0} is not set: set it to the file that `verbatim nats init` writes")]
    NotConfigured(&'static str),
    /// Credentials are overdue for revocation, which needs a key that no node holds.
    #[error(
        "{0} credentials are overdue for revocation, which needs the operator's signing key, and no node holds it: run \
         `verbatim consumers sweep` with VERBATIM_NATS_OPERATOR_KEY_FILE and VERBATIM_NATS_SYS_CREDENTIALS_FILE"
    )]
    NeedsOperator(usize),
    /// There is no consumer of this name.
    #[error("there is no consumer `{0}`: see `verbatim consumers list`")]
    NotFound(String),
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] BadFilter),
    /// The command conflicts with the current state.
    #[error("{0}")]
    Refused(String),
    /// Postgres did not answer.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    /// NATS did not answer, or refused.
    #[error(transparent)]
    Log(#[from] OpenError),
}

impl Office {
    /// The key that signs consumers. Fails if it is missing.
    pub(crate) fn scoped(&self) -> Result<&ScopedKey, ConsumerError> {
        self.scoped.as_deref().ok_or(ConsumerError::NotConfigured(KEY))
    }

    pub(super) async fn named(&self, name: &str) -> Result<StoredConsumer, ConsumerError> {
        let found = consumers::find(&self.pool, name).await?;
        found.ok_or_else(|| ConsumerError::NotFound(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::installation;

    #[test]
    fn only_the_key_of_consumers_is_one() {
        for file in installation(1_000) {
            assert_eq!(ScopedKey::read(&file.text).is_ok(), file.name == "consumers.key", "{}", file.name);
        }
        let readers = installation(1_000).into_iter().find(|file| file.name == "readers.nk").expect("a key");
        let public = NKey::account(&readers.text).expect("a key").public();
        assert!(ScopedKey::read(&format!("{}{public}\n", readers.text)).is_err(), "the account's own key");
    }
}
