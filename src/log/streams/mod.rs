//! The streams: their layout, how they are made and mended, and how they are doing.

pub(in crate::log) mod durability;
pub(in crate::log) mod layout;
pub(in crate::log) mod level;
pub(in crate::log) mod maker;
pub(in crate::log) mod mend;
pub(in crate::log) mod outcomes;
pub(in crate::log) mod survey;
