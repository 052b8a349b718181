//! The accounts of a private nats-server: the files of `verbatim nats init`, made at the first start.

use crate::{
    authority::{ACCOUNTS, CHAT_KEY, ERASER, FILES, NKey, eraser, installation},
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
    let now = Clock::system().now().datetime().unix_timestamp();
    if folder.read(ACCOUNTS)?.is_none() {
        for file in installation(now) {
            folder.write(file.name, &file.text, if file.is_secret { PRIVATE } else { READABLE })?;
        }
    }
    // An older version has made no eraser. The key of the account signs one, and no server has to be told.
    if folder.read(ERASER)?.is_none()
        && let Ok(chat) = NKey::account(&folder.read(CHAT_KEY)?.unwrap_or_default())
    {
        folder.write(ERASER, &eraser(&chat, now, []), PRIVATE)?;
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

/// The files of the accounts, to be kept while the folder changes its owner; nothing unless all of them are there. The
/// eraser's may be missing, because an older version has made none.
pub(super) fn kept(folder: &Folder) -> Vec<(&'static str, String)> {
    let read = |name| Some((name, folder.read(name).ok().flatten()?));
    let others = FILES.into_iter().filter(|name| *name != ERASER);
    let kept: Option<Vec<_>> = others.map(read).collect();
    kept.map(|kept| kept.into_iter().chain(read(ERASER)).collect()).unwrap_or_default()
}

/// Writes the kept files again.
pub(super) fn keep(folder: &Folder, kept: &[(&'static str, String)]) -> Result<(), DevError> {
    kept.iter().try_for_each(|(name, text)| {
        folder.write(name, text, if *name == ACCOUNTS { READABLE } else { PRIVATE })
    })
}
