//! The keys that sign tokens.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, secret::secret},
    credentials::Keys,
};

const CURRENT: &str = "VERBATIM_SIGNING_KEY_FILE";
const PREVIOUS: &str = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE";

/// The keys with which tokens are signed.
#[derive(Debug, Clone, Args)]
pub(super) struct KeySettings {
    /// File with the Ed25519 key that signs access tokens (PKCS#8 PEM). Without this setting, the first start makes
    /// a key and keeps the key in the database.
    #[arg(long, env = CURRENT, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,

    /// File with the previous signing key. Tokens that this key signed stay valid.
    #[arg(long, env = PREVIOUS, value_name = "FILE")]
    previous_signing_key_file: Option<PathBuf>,
}

impl KeySettings {
    /// Reads the keys from their files; `None` if no file is set.
    pub(super) fn read(&self) -> Result<Option<Keys>, BadSetting> {
        let pem = |file: &Option<PathBuf>, name| file.as_ref().map(|file| secret(file, name)).transpose();
        let (current, previous) =
            (pem(&self.signing_key_file, CURRENT)?, pem(&self.previous_signing_key_file, PREVIOUS)?);
        let Some(current) = current else {
            return match previous {
                None => Ok(None),
                Some(_) => Err(BadSetting(format!("{PREVIOUS} is set, and {CURRENT} is not: set both"))),
            };
        };
        // The current key is read alone first, so that the error names the file of the bad key.
        let alone = Keys::from_pem(&current, None).map_err(|bad| BadSetting(format!("{CURRENT}: {bad}")))?;
        let Some(previous) = previous else { return Ok(Some(alone)) };
        let both = Keys::from_pem(&current, Some(&previous));
        both.map(Some).map_err(|bad| BadSetting(format!("{PREVIOUS}: {bad}")))
    }
}
