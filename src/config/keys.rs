//! The keys that sign tokens.

use std::path::PathBuf;

use clap::Args;

use crate::config::{BadSetting, secret::secret};

/// The keys with which tokens are signed.
#[derive(Debug, Clone, Args)]
pub(super) struct KeySettings {
    /// File with the Ed25519 key that signs access tokens (PKCS#8 PEM). Without this setting, the first start makes
    /// a key and keeps the key in the database.
    #[arg(long, env = "VERBATIM_SIGNING_KEY_FILE", value_name = "FILE")]
    signing_key_file: Option<PathBuf>,

    /// File with the previous signing key. Tokens that this key signed stay valid.
    #[arg(long, env = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE", value_name = "FILE")]
    previous_signing_key_file: Option<PathBuf>,
}

impl KeySettings {
    /// The keys as PEM, if they are given: the present key and the key before it.
    pub(super) fn read(&self) -> Result<Option<(String, Option<String>)>, BadSetting> {
        let KeySettings { signing_key_file, previous_signing_key_file } = self;
        let Some(file) = signing_key_file else { return Ok(None) };
        let previous = previous_signing_key_file
            .as_ref()
            .map(|file| secret(file, "VERBATIM_PREVIOUS_SIGNING_KEY_FILE"))
            .transpose()?;
        Ok(Some((secret(file, "VERBATIM_SIGNING_KEY_FILE")?, previous)))
    }
}
