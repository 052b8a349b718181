//! The keys with which an operator adds consumers and revokes their credentials.

use std::path::PathBuf;

use clap::Args;

use crate::config::{BadSetting, pair::pair, secret::secret};

const CONSUMERS_KEY: &str = "VERBATIM_CONSUMERS_KEY_FILE";
const OPERATOR_KEY: &str = "VERBATIM_NATS_OPERATOR_KEY_FILE";
const SYSTEM: &str = "VERBATIM_NATS_SYS_CREDENTIALS_FILE";

/// The key that signs consumers. It can make nothing else, so a node may hold it.
#[derive(Debug, Clone, Args)]
pub(super) struct ScopedKeySetting {
    /// The file consumers.key of `verbatim nats init`, which can sign only consumers. [default: none; consumers cannot
    /// be managed over REST]
    #[arg(long, env = CONSUMERS_KEY, value_name = "FILE")]
    consumers_key_file: Option<PathBuf>,

    #[arg(skip)]
    consumers_key: Option<String>,
}

impl ScopedKeySetting {
    /// Uses this key, unless a file is set.
    pub(super) fn default_key(&mut self, key: String) {
        self.consumers_key = Some(key);
    }

    /// The text of the key.
    pub(super) fn read(&self) -> Result<Option<String>, BadSetting> {
        match &self.consumers_key_file {
            Some(file) => secret(file, CONSUMERS_KEY).map(Some),
            None => Ok(self.consumers_key.clone()),
        }
    }
}

/// The files of `verbatim nats init` by which `consumers` revokes credentials. Nodes have no such setting.
#[derive(Debug, Clone, Args)]
pub struct ConsumerSettings {
    /// The file operator-signing.nk of `verbatim nats init`. Revoking credentials needs this and the next file.
    #[arg(long, env = OPERATOR_KEY, value_name = "FILE")]
    nats_operator_key_file: Option<PathBuf>,

    /// The `.creds` file of a user of the system account.
    #[arg(long, env = SYSTEM, value_name = "FILE")]
    nats_sys_credentials_file: Option<PathBuf>,
}

impl ConsumerSettings {
    /// The contents of the operator's key file and of the `.creds` file of the system account, if both are set.
    pub fn revoker(&self) -> Result<Option<(String, String)>, BadSetting> {
        let key = (self.nats_operator_key_file.as_ref(), OPERATOR_KEY);
        let Some((key, creds)) = pair(key, (self.nats_sys_credentials_file.as_ref(), SYSTEM))? else {
            return Ok(None);
        };
        Ok(Some((secret(key, OPERATOR_KEY)?, secret(creds, SYSTEM)?)))
    }

    /// The error for a setting whose key cannot be used.
    pub fn bad_key(name: &str, why: impl std::fmt::Display) -> BadSetting {
        BadSetting(format!("{name}: {why}"))
    }
}
