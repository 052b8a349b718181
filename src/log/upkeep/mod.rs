//! Upkeep: what the streams and their servers are like at present, and settings that are put right.

pub(in crate::log) mod durability;
pub(in crate::log) mod mend;
pub(in crate::log) mod survey;
