//! The accounts of a private nats-server: the files of `verbatim nats init`, made at the first start.

use crate::{
    authority::{ACCOUNTS, CHAT_KEY, FILES, Key, NODE, OPERATOR, SYSTEM, installation},
    clock::Clock,
    dev::{
        DevError,
        folder::{Folder, PRIVATE, READABLE},
        home::{DATA, Home},
        nats::NatsUser,
    },
};

/// Where JetStream keeps the streams of an account, below the data.
const STREAMS: &str = "jetstream";
/// The folder of the account of the log there, while it was an account of the configuration file.
const BEFORE: &str = "CHAT";

impl NatsUser {
    /// The file by which the user logs in to a server in operator mode. A reader has none of its own: it is one of the
    /// consumers, which are added by a command.
    pub(super) fn file(self) -> Option<&'static str> {
        match self {
            Self::Verbatim => Some(NODE),
            Self::Operator => Some(OPERATOR),
            Self::Reader => None,
            Self::System => Some(SYSTEM),
        }
    }
}

/// Makes the files of the accounts if they are missing. The last file that is written says that all are there.
pub(super) fn make(home: &Home) -> Result<(), DevError> {
    if home.folder.read(ACCOUNTS)?.is_none() {
        for file in installation(Clock::system().now().datetime().unix_timestamp()) {
            home.folder.write(file.name, &file.text, if file.is_secret { PRIVATE } else { READABLE })?;
        }
    }
    Ok(())
}

/// Hands the streams of an older version over to the account of the log. That version had its accounts in the
/// configuration, where their names were names of folders; in operator mode the folder has the public key of the account.
/// It is one rename, so that it has happened or not.
pub(super) fn adopt_streams(home: &Home) -> Result<(), DevError> {
    let key = home.folder.read(CHAT_KEY)?.unwrap_or_default();
    match Key::account(&key) {
        Ok(key) => home.folder.rename_below(&[DATA, STREAMS], BEFORE, &key.public()),
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
