//! Upkeep: the state of the streams and their servers, and the correction of their settings.

pub(in crate::log) mod durability;
mod leaving;
pub(in crate::log) mod mend;
pub(in crate::log) mod survey;
