//! The accounts of a private nats-server: the files of `verbatim nats init`, made at the first start.

use crate::{
    authority::{ACCOUNTS, CHAT_KEY, FILES, NKey, installation},
    clock::Clock,
    dev::{
        DevError,
        folder::{Folder, PRIVATE, READABLE},
    },
};

/// Where JetStream keeps the streams of an account, below the data.
const STREAMS: &str = "jetstream";
/// The folder of the account of the log there, while it was an account of the configuration file.
const BEFORE: &str = "CHAT";

/// Makes the files of the accounts if they are missing. The last file that is written says that all are there.
pub(super) fn make(folder: &Folder) -> Result<(), DevError> {
    if folder.read(ACCOUNTS)?.is_none() {
        for file in installation(Clock::system().now().datetime().unix_timestamp()) {
            folder.write(file.name, &file.text, if file.is_secret { PRIVATE } else { READABLE })?;
        }
    }
    Ok(())
}

/// Hands the streams of an older version over to the account of the log. That version had its accounts in the
/// configuration, where their names were names of folders; in operator mode the folder has the public key of the account.
/// It is one rename, so that it has happened or not.
pub(super) fn adopt_streams(folder: &Folder, data: &str) -> Result<(), DevError> {
    let key = folder.read(CHAT_KEY)?.unwrap_or_default();
    match NKey::account(&key) {
        Ok(key) => folder.rename_below(&[data, STREAMS], BEFORE, &key.public()),
        Err(_) => Ok(()),
    }
}

/// The files of the accounts, to be kept while the folder changes its owner; nothing unless all of them are there.
pub(super) fn kept(folder: &Folder) -> Vec<(&'static str, String)> {
    let read = |name| Some((name, folder.read(name).ok().flatten()?));
    FILES.into_iter().map(read).collect::<Option<_>>().unwrap_or_default()
}

/// Writes the kept files again.
pub(super) fn keep(folder: &Folder, kept: &[(&'static str, String)]) -> Result<(), DevError> {
    kept.iter().try_for_each(|(name, text)| {
        folder.write(name, text, if *name == ACCOUNTS { READABLE } else { PRIVATE })
    })
}
