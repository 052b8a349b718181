//! A file of an archive, what a write may replace, and how reading and writing fail.

use std::io;

use bytes::Bytes;

use crate::{
    domain::Epoch,
    log::{Damaged, OpenError, Unavailable},
};

/// Why something with an archive failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// A file cannot be read or written.
    #[error("archive: {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system or the server says.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("archive: {name}: {why}")]
    Bad {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no archive.
    #[error("no archive at {0}: it has no HEAD.json. Start an archiver first (`verbatim archive`)")]
    None(String),
    /// The archive is that of another log.
    #[error(
        "the archive {place} has epoch {found}, but this log has epoch {own} and did not begin from it: name another place, \
         because an archive keeps one log. If both are of one installation, see \"An archive of another epoch\" in \
         deploy/DISASTERS.md"
    )]
    Foreign {
        /// The archive.
        place: String,
        /// Its latest epoch.
        found: Epoch,
        /// The epoch of the log.
        own: Epoch,
    },
    /// There are segments of the log, and nothing says which of them are whole.
    #[error(
        "the archive {place} has segments in {folder}, but no HEAD.json that names them: put HEAD.json back, or name another \
         place"
    )]
    NoManifest {
        /// The archive.
        place: String,
        /// The folder of the segments.
        folder: String,
    },
    /// The stream has a hole that nothing explains.
    #[error("{0}, and nothing explains it: see \"A message was deleted\" in deploy/DISASTERS.md")]
    Hole(#[from] Damaged),
    /// Another process writes the archive, and has not reached the wanted end in time.
    #[error("{0}")]
    Late(String),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Another process has taken over the archive.
    #[error("another archiver has taken over the archive")]
    Lost,
    /// The database does not answer.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
}

/// A file that was read.
#[derive(Debug)]
pub(in crate::archive) struct KeptFile {
    pub(in crate::archive) bytes: Bytes,
    pub(in crate::archive) version: FileVersion,
}

/// The version of a file that was read or written; a folder has no versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::archive) struct FileVersion(pub(super) Option<String>);

/// What a write may replace. A folder does not check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::archive) enum Replaces {
    /// Whatever is there.
    Anything,
    /// Nothing: the file is new.
    Nothing,
    /// This version and no other.
    Version(FileVersion),
}
