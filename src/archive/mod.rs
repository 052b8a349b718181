//! What is **kept elsewhere**: an archive of the log and of the accounts, in a folder that no server uses, or in a
//! bucket.
//!
//! The archiver ([`archive`]) writes the records of each stream as *segments*, each with a checksum of its predecessor,
//! and then the manifest `HEAD.json`. Content that an erasure has removed from the log, it also removes from the
//! segments. A *backup* is a dump of the accounts with the positions that the archive had reached. [`restore()`] reads
//! both.

mod archiver;
mod away;
mod backups;
mod chain;
mod claim;
mod crc32c;
mod fates;
mod head;
mod manifest;
mod plan;
mod progress;
mod restore;
mod rewriting;
mod segment;
mod stream;
mod tables;
mod target;
mod told_again;
mod verify;

pub(crate) use archiver::archive;
pub(crate) use backups::{Backup, choose, create, is_due, list, prune};
pub(crate) use fates::AccountFates;
use head::ArchiveHead;
pub(crate) use head::kept_up;
pub(crate) use manifest::describe;
pub(crate) use plan::{Aim, Plan, RestoreError, plan};
pub(crate) use restore::{Restored, RestoredEnd, restore};
pub(crate) use tables::{TablesError, has_accounts, load};
pub(crate) use target::{ArchiveError, ArchivePlace, ArchiveTarget, BucketAccess, BucketKeys};
pub(crate) use verify::{VerifiedArchive, verify};
