//! The streams: their layout, and how they are created.

pub(in crate::log) mod audit;
pub(in crate::log) mod former;
pub(in crate::log) mod layout;
pub(in crate::log) mod maker;
pub(in crate::log) mod parked;
