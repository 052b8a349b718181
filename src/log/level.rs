//! Contract levels: who may read a log. A log says in the metadata of its streams which level a reader must have at
//! least, so a node that is too old refuses to start instead of passing over what it does not understand.

use serde::Serialize;

/// The key in the metadata of a stream under which the lowest level stands that may read it.
pub(in crate::log) const READS: &str = "verbatim.reads";

/// How much of the contract of the log this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Contract {
    /// The highest level that it reads.
    pub reads: u32,
    /// The level that it writes. A level is written one release after it is read at the earliest.
    pub writes: u32,
}

/// What this version reads and writes.
pub(crate) const CONTRACT: Contract = Contract { reads: 1, writes: 1 };
