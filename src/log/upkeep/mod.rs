//! Upkeep: the state of the streams and their servers, and settings that are put right.

pub(in crate::log) mod durability;
pub(in crate::log) mod mend;
pub(in crate::log) mod survey;
