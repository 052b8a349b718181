//! The keys that sign tokens.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{BadSetting, secret::secret},
    credentials::{GivenKeys, Keys},
};

const CURRENT: &str = "VERBATIM_SIGNING_KEY_FILE";
const PREVIOUS: &str = "VERBATIM_PREVIOUS_SIGNING_KEY_FILE";
const NEXT: &str = "VERBATIM_NEXT_SIGNING_KEY_FILE";

/// The keys with which tokens are signed.
#[derive(Debug, Clone, Args)]
pub(super) struct KeySettings {
    /// File with the Ed25519 key that signs access tokens (PKCS#8 PEM). Without this setting, the first start generates
    /// a key and stores it in the database.
    #[arg(long, env = CURRENT, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,

    /// File with the previous signing key. Tokens signed by it stay valid. It continues to sign until the current key
    /// has been published for 16 minutes.
    #[arg(long, env = PREVIOUS, value_name = "FILE")]
    previous_signing_key_file: Option<PathBuf>,

    /// File with the next signing key. It is published, and tokens signed by it are valid, but it does not sign yet.
    #[arg(long, env = NEXT, value_name = "FILE")]
    next_signing_key_file: Option<PathBuf>,
}

impl KeySettings {
    /// Reads the keys from their files; `None` if no file is set.
    pub(super) fn read(&self) -> Result<Option<GivenKeys>, BadSetting> {
        let read = |file: &Option<PathBuf>, name| match file {
            None => Ok(None),
            Some(file) => {
                let pem = secret(file, name)?;
                let keys = Keys::from_pem(&pem, None);
                keys.map(Some).map_err(|bad| BadSetting(format!("{name}: {bad}")))
            }
        };
        let current = read(&self.signing_key_file, CURRENT)?;
        let others = [(&self.previous_signing_key_file, PREVIOUS), (&self.next_signing_key_file, NEXT)];
        let [previous, next] = others.map(|(file, name)| read(file, name));
        let (previous, next) = (previous?, next?);
        if let Some(current) = current {
            return Ok(Some(GivenKeys { current, previous, next }));
        }
        match [(previous, PREVIOUS), (next, NEXT)].into_iter().find(|(keys, _)| keys.is_some()) {
            None => Ok(None),
            Some((_, name)) => Err(BadSetting(format!("{name} is set, but {CURRENT} is not: set both"))),
        }
    }
}
