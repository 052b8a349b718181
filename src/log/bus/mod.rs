//! Messages outside the streams of the log: signals, leases, claims, reports and admitted requests of nodes, and
//! commands from programs.

pub(in crate::log) mod claims;
pub(in crate::log) mod commands;
pub(in crate::log) mod flush;
pub(in crate::log) mod lease;
pub(in crate::log) mod peers;
pub(in crate::log) mod signal;
pub(in crate::log) mod spending;
