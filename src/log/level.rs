//! Contract levels. The metadata of the streams say which level a reader must have at least, so a node that is too old
//! refuses to start, instead of skipping events that it does not understand.

use serde::{Deserialize, Serialize};

/// The key in the metadata of a stream for the lowest level that may read the stream.
pub(in crate::log) const READS: &str = "verbatim.reads";

/// The level of a stream that is being restored: no version may read it, until the restore is over.
pub(in crate::log) const RESTORING: &str = "restoring";

/// How much of the contract of the log this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contract {
    /// The highest level that this version reads.
    pub reads: u32,
    /// The level that this version writes. A level is written, at the earliest, one release after it is read.
    pub writes: u32,
}

/// The levels of this version. Level 2 has erasures: a reader of level 1 would take an erased position for damage.
pub(crate) const CONTRACT: Contract = Contract { reads: 2, writes: 2 };
