//! The place from which consumers are kept: what it holds, and why it refuses.

use sqlx::PgPool;

use crate::{
    accounts::consumers::{self, StoredConsumer},
    authority::NKey,
    clock::Clock,
    log::{Log, NatsServers, OpenError},
};

/// The key that signs consumers, with the account to which it belongs: the file `consumers.key`.
#[derive(Debug)]
pub(crate) struct ScopedKey {
    pub(super) key: NKey,
    pub(super) account: String,
}

impl ScopedKey {
    /// Reads the file; the reason if it is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim);
        let key = NKey::account(lines.next().unwrap_or_default()).map_err(|bad| bad.to_string())?;
        match lines.next() {
            Some(account) if account.len() == 56 && account.starts_with('A') => {
                Ok(Self { key, account: account.to_owned() })
            }
            _ => Err("its second line is not the public key of an account, which begins with A".into()),
        }
    }
}

/// What revokes credentials: the operator's key, and a user of the system account.
#[derive(Debug)]
pub(crate) struct Revoker {
    /// The key that signs accounts.
    pub(crate) operator: NKey,
    /// The servers, with the login of a user of the system account.
    pub(crate) system: NatsServers,
}

/// What an operator has at hand.
pub(crate) struct Office<'a> {
    pub(crate) pool: &'a PgPool,
    pub(crate) log: &'a Log,
    pub(crate) clock: &'a Clock,
    pub(crate) scoped: Option<ScopedKey>,
    pub(crate) revoker: Option<Revoker>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsumerError {
    /// A file is not set, without which it cannot be done.
    #[error("{0} is not set, and this needs it: `verbatim nats init` makes the file")]
    NotConfigured(&'static str),
    /// There is no consumer of this name.
    #[error("there is no consumer `{0}`: `verbatim consumers list` shows them")]
    NotFound(String),
    /// It would contradict what is there.
    #[error("{0}")]
    Refused(String),
    /// Postgres did not answer.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// NATS did not answer, or refused.
    #[error(transparent)]
    Log(#[from] OpenError),
}

impl Office<'_> {
    pub(super) fn scoped(&self) -> Result<&ScopedKey, ConsumerError> {
        self.scoped.as_ref().ok_or(ConsumerError::NotConfigured("VERBATIM_CONSUMERS_KEY_FILE"))
    }

    pub(super) async fn named(&self, name: &str) -> Result<StoredConsumer, ConsumerError> {
        let found = consumers::find(self.pool, name).await?;
        found.ok_or_else(|| ConsumerError::NotFound(name.to_owned()))
    }
}
