//! The reasons why the private servers do not run.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The reason why the private servers do not run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The programs of the servers could not be found, fetched or run; the output of the script went to
    /// stderr.
    #[error("{0}. To use other programs, set VERBATIM_NATS_SERVER and VERBATIM_PG_BIN")]
    Tools(String),
    /// Another process uses this data folder.
    #[error(
        "{} is in use by another `verbatim dev` (process {process}): stop it, or set VERBATIM_DATA_DIR to another \
         folder", data_dir.display()
    )]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// The process that holds the lock.
        process: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot use {}: {source}. To use another folder, set VERBATIM_DATA_DIR", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Root started the servers on a system that has no user to run them as.
    #[error("root runs the servers as the user `postgres` or `nobody`, but /etc/passwd has neither: add one")]
    NoUser,
    /// A server did not start.
    #[error("{server} did not start: {why}\n{log}")]
    Server {
        /// The name of the server.
        server: &'static str,
        /// The fault, and the remedy where it is known.
        why: String,
        /// The last lines of its log.
        log: String,
    },
}

pub(super) fn cannot_use(path: &Path) -> impl FnOnce(io::Error) -> DevError {
    let path = path.to_owned();
    move |source| DevError::Folder { path, source }
}
