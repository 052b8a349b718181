//! The accounts of a private nats-server: the files of `verbatim nats init`, created at the first start.

use crate::{
    authority::{ACCOUNTS, CHAT_KEY, ERASER, FILES, NKey, eraser, installation},
    clock::Clock,
    dev::{
        DevError,
        folder::{Folder, PRIVATE, READABLE},
    },
};

/// The folder below the data in which JetStream keeps the streams of each account.
const STREAMS: &str = "jetstream";
/// The folder of the log's account there in older versions, which had the account in the configuration file.
const BEFORE: &str = "CHAT";

/// Creates the files of the accounts if they are missing. The last file that is written shows that all are there.
pub(super) fn make(folder: &Folder) -> Result<(), DevError> {
    let now = Clock::system().now().datetime().unix_timestamp();
    if folder.read(ACCOUNTS)?.is_none() {
        for file in installation(now) {
            folder.write(file.name, &file.text, if file.is_secret { PRIVATE } else { READABLE })?;
        }
    }
    // An older version did not create an eraser. The account key signs one, so no server needs a change.
    if folder.read(ERASER)?.is_none()
        && let Ok(chat) = NKey::account(&folder.read(CHAT_KEY)?.unwrap_or_default())
    {
        folder.write(ERASER, &eraser(&chat, now, []), PRIVATE)?;
    }
    Ok(())
}

/// Moves the streams of an older version to the account of the log. That version had its accounts in the configuration,
/// and the folders had their names; in operator mode, the name of the folder is the public key of the account. It is
/// one rename, so it happens completely or not at all.
pub(super) fn adopt_streams(folder: &Folder, data: &str) -> Result<(), DevError> {
    let key = folder.read(CHAT_KEY)?.unwrap_or_default();
    match NKey::account(&key) {
        Ok(key) => folder.rename_below(&[data, STREAMS], BEFORE, &key.public()),
        Err(_) => Ok(()),
    }
}

/// Reads the files of the accounts, to preserve them while the folder changes its owner. Empty unless all of them
/// exist, except the eraser's, which an older version did not create.
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
