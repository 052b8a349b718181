//! What nodes tell one another without storing it: signals, leases and peers.

pub(in crate::log) mod lease;
pub(in crate::log) mod peers;
pub(in crate::log) mod signal;
pub(in crate::log) mod spending;
